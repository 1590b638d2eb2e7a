//! What the kernel is asked, and by whom.

//! Handlers: callbacks registered on sources.

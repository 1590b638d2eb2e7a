//! A value that is seldom there, in a box.
//!
//! To drop an `Option<Box<T>>` the compiler writes out the end of a `T` wherever one goes, with the
//! registers saved that this takes. Where nearly all are empty, one test and a call do.

/// Perhaps a `T`.
#[derive(Debug)]
pub(crate) struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// Nothing.
    #[inline]
    pub(crate) const fn none() -> Self {
        Rare(None)
    }

    /// That value.
    #[cold]
    pub(crate) fn some(value: T) -> Self {
        Rare(Some(Box::new(value)))
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take().map(|value| *value)
    }
}

impl<T: Default> Rare<T> {
    /// The value, which is made if it is not there.
    #[cold]
    pub(crate) fn get_or_insert_default(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T> Drop for Rare<T> {
    #[inline]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn drop_value<T>(value: Option<Box<T>>) {
            drop(value);
        }
        if self.0.is_some() {
            drop_value(self.0.take());
        }
    }
}

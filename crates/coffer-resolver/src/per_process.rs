//! What belongs to one process and must not be used by a child that was forked from it.
//!
//! Pure. A child finds its parent's, which a thread that the child does not have may hold locked, leaves it alone for good,
//! and goes on to one of its own. Nothing else works without unsafe code, since no lock can be asked whether its owner
//! still exists.

use std::sync::OnceLock;

/// One `T` for each process.
pub(crate) struct PerProcess<T> {
    owned: OnceLock<(u32, T)>,
    child: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    /// None so far.
    pub(crate) fn new() -> Self {
        Self { owned: OnceLock::new(), child: OnceLock::new() }
    }

    /// That of `process`, made now if it has none.
    pub(crate) fn of(&self, process: u32, make: impl Fn() -> T) -> &T {
        let mut node = self;
        loop {
            let (owner, owned) = node.owned.get_or_init(|| (process, make()));
            if *owner == process {
                return owned;
            }
            node = node.child.get_or_init(|| Box::new(Self::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_process_has_one_of_its_own() {
        let (made, all) = (Cell::new(0), PerProcess::new());
        let of = |process| {
            *all.of(process, || {
                made.set(made.get() + 1);
                made.get()
            })
        };
        assert_eq!([of(7), of(7), of(8), of(9), of(8)], [1, 1, 2, 3, 2]);
    }
}

//! A bounded table of what was noted in passing and is written later.
//!
//! Pure. Invariant: noting never waits, and what finds no room is left to a later time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was noted and not written yet.
pub(crate) struct Noted<K, V> {
    table: Mutex<BTreeMap<K, V>>,
    entries_max: usize,
}

impl<K: Ord + Clone, V: Clone + PartialEq> Noted<K, V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { table: Mutex::default(), entries_max }
    }

    /// Notes it in place of what was noted there before. `false` if the table is full, or in use just now.
    pub(crate) fn note(&self, key: K, value: V) -> bool {
        let Ok(mut table) = self.table.try_lock() else { return false };
        let has_room = table.len() < self.entries_max || table.contains_key(&key);
        if has_room {
            table.insert(key, value);
        }
        has_room
    }

    /// The table, to look into.
    pub(crate) fn table(&self) -> MutexGuard<'_, BTreeMap<K, V>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_half_full(&self) -> bool {
        self.table().len() > self.entries_max / 2
    }

    /// At most `count` of what was noted, to be written.
    pub(crate) fn some(&self, count: usize) -> Vec<(K, V)> {
        self.table().iter().take(count).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Forgets what was written, unless it was noted anew since.
    pub(crate) fn forget_written(&self, written: &[(K, V)]) {
        let mut table = self.table();
        for (key, value) in written {
            if table.get(key) == Some(value) {
                table.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_takes_only_what_it_has_already() {
        let noted = Noted::new(2);
        assert_eq!([1, 2, 3, 2].map(|key| noted.note(key, key)), [true, true, false, true]);
        noted.forget_written(&noted.some(1));
        assert!(noted.note(3, 3));
        assert_eq!(noted.some(9), [(2, 2), (3, 3)]);
    }

    #[test]
    fn what_is_noted_anew_while_it_is_written_stays() {
        let noted = Noted::new(2);
        noted.note("key", 1);
        let written = noted.some(9);
        noted.note("key", 2);
        noted.forget_written(&written);
        assert_eq!(noted.some(9), [("key", 2)]);
    }

    #[test]
    fn noting_never_waits() {
        let noted = Noted::new(2);
        let held = noted.table();
        assert!(!noted.note("key", 1));
        drop(held);
        assert!(noted.note("key", 1));
    }
}

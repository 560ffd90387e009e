//! The store in one redb file.

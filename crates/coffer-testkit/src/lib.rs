//! For tests only: clock, generator, in-process server, faulty files.

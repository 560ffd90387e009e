//! Where random bytes come from.
//!
//! I/O: the operating system's generator. Not through aws-lc, whose own generator measures the processor's jitter
//! before its first byte: 30 ms that every short command would pay. Everything that needs randomness is given a
//! [`Random`], so that a test can give a seeded one.

/// A source of random bytes. Two implementations: [`SystemRandom`], and a seeded one for tests.
pub trait Random: Send + Sync + 'static {
    /// Fills all of `out` with bytes nobody can guess.
    fn fill(&self, out: &mut [u8]);
}

/// The operating system's generator.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out)
            .expect("without random bytes no key and no nonce can be made, so nothing may go on");
    }
}

/// `N` random bytes that are no secret: a nonce, a salt, an id.
pub(crate) fn make_bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Gives 00 01 02 … ff 00 …, so that every golden vector can be read by eye.
    pub(crate) struct Counting(AtomicU8);

    impl Counting {
        pub(crate) fn from_zero() -> Self {
            Self(AtomicU8::new(0))
        }
    }

    impl Random for Counting {
        fn fill(&self, out: &mut [u8]) {
            out.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    #[test]
    fn the_system_never_gives_the_same_bytes_twice() {
        assert_ne!(make_bytes::<32>(&SystemRandom), make_bytes::<32>(&SystemRandom));
    }
}

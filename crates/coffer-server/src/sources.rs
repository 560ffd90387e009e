//! How many connections each source has.
//!
//! Pure. Invariant: there are no more entries than connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Connections by source.
#[derive(Default)]
pub(crate) struct SourceCounts(Mutex<HashMap<IpAddr, usize>>);

impl SourceCounts {
    /// Counts a connection of a source that has fewer than `most`.
    pub(crate) fn enter(&self, source: IpAddr, most: usize) -> bool {
        let mut counts = self.counts();
        let count = counts.get(&network_of(source)).copied().unwrap_or(0);
        let admitted = count < most;
        if admitted {
            counts.insert(network_of(source), count + 1);
        }
        admitted
    }

    /// Takes a connection of a source off.
    pub(crate) fn leave(&self, source: IpAddr) {
        let mut counts = self.counts();
        let source = network_of(source);
        match counts.get_mut(&source) {
            Some(count @ 2..) => *count -= 1,
            _ => drop(counts.remove(&source)),
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An IPv4 address, or the /64 network of an IPv6 address, of which one household has all.
fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_count() {
        let counts = SourceCounts::default();
        let enter = |source: &str| counts.enter(source.parse().unwrap(), 2);
        for (source, admitted) in [
            ("10.0.0.1", true),
            ("10.0.0.1", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("10.0.0.2", true),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::1", true),
            ("::1", true),
        ] {
            assert_eq!(enter(source), admitted, "{source}");
        }
        counts.leave("2001:db8::9".parse().unwrap());
        assert!(enter("2001:db8::3") && !enter("2001:db8::3"));
        for source in ["10.0.0.1", "10.0.0.1", "10.0.0.2"] {
            counts.leave(source.parse().unwrap());
        }
        assert_eq!(counts.counts().len(), 3);
    }
}

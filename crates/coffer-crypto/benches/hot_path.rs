//! What one read pays for cryptography: `cargo bench -p coffer-crypto`. Prints the median of 21 rounds.
#![expect(clippy::print_stdout, reason = "a table of figures is what this program is for")]

use std::hint::black_box;
use std::time::Instant;

use coffer_crypto::sigv4::SigningKey;
use coffer_crypto::{Key, KeyEncryptionKey, RootKey, StoreId, SystemRandom, ValueContext, ValueKind, digest};
use coffer_types::SecretBytes;

const ROUNDS: usize = 21;
const CALLS: u32 = 10_000;

fn main() {
    let context = ValueContext {
        arn: "arn:aws:secretsmanager:us-east-1:123456789012:secret:btc-agent/twitter/credentials-AbCdEf",
        version_id: "01234567-89ab-cdef-0123-456789abcdef",
        kind: ValueKind::String,
    };
    let kek = KeyEncryptionKey::new(Key::make(&SystemRandom));
    let value = SecretBytes::new(vec![b'v'; 200]);
    let sealed = kek.seal_value(&SystemRandom, &context, &value);
    let store_key = RootKey::make(&SystemRandom).derive_store_key(StoreId::make(&SystemRandom));
    let record = store_key.seal_record(&SystemRandom, "secret", b"s/1", &[b'r'; 600]);
    let secret = SecretBytes::copy_from(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    let signing_key = SigningKey::derive(&secret, "20150830", "us-east-1", "secretsmanager");

    measure("open_value, 200 B", || kek.open_value(&context, &sealed));
    measure("seal_value, 200 B", || kek.seal_value(&SystemRandom, &context, &value));
    measure("open_record, 600 B", || store_key.open_record("secret", b"s/1", &record));
    measure("SigV4 sign, 150 B", || signing_key.sign(&[b't'; 150]));
    measure("SigV4 derive", || SigningKey::derive(&secret, "20150830", "us-east-1", "secretsmanager"));
    measure("SHA-256, 900 B", || digest::sha256(&[b'l'; 900]));
}

fn measure<T>(what: &str, mut call: impl FnMut() -> T) {
    let mut rounds: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..CALLS {
                black_box(call());
            }
            started.elapsed().as_nanos() / u128::from(CALLS)
        })
        .collect();
    rounds.sort_unstable();
    println!("{what:<20} {:>6} ns", rounds[ROUNDS / 2]);
}

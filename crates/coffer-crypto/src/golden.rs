//! The bytes that `docs/formats.md` points at: everything this crate seals, made with known keys and with a generator
//! that counts 00 01 02 …, and compared with `vectors/crypto/envelopes.json`.
//!
//! A difference means that stores already written no longer open. A new format gets new vectors beside the old,
//! which stay and must go on opening. `COFFER_WRITE_VECTORS=1` writes the file anew.

use std::path::Path;

use coffer_types::SecretBytes;
use serde_json::{Value, json};

use crate::context::{self, Use};
use crate::random::tests::Counting;
use crate::seal::context_of;
use crate::xaes::Xaes;
use crate::*;

const ROOT_KEY: [u8; 32] = [0x01; 32];
const STORE: &str = "0f0e0d0c0b0a09080706050403020100";
const KEK: [u8; 32] = [0x02; 32];
const TOKEN_KEY: [u8; 32] = [0x03; 32];
const AUDIT_SEED: [u8; 32] = [0x04; 32];
const SEALING_KEY: [u8; 32] = [0x05; 32];
const PASSPHRASE: &str = "correct horse battery staple";
const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:btc-agent/twitter/credentials-AbCdEf";
const VERSION: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn root_and_store() -> (RootKey, StoreId) {
    (RootKey::from_key(Key::from_bytes(&ROOT_KEY)), STORE.parse().unwrap())
}

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/crypto/envelopes.json")
}

fn made_today() -> Value {
    let (root, store) = root_and_store();
    json!({
        "root_key": hex::encode(ROOT_KEY),
        "store_id": STORE,
        "store_key": hex::encode(root.derive(store, "coffer store key v1").expose_secret()),
        "wrapping_key": hex::encode(root.derive(store, "coffer wrapping key v1").expose_secret()),
        "record": record(&root, store),
        "key_wrap": key_wrap(&root, store),
        "sealed_secret": sealed_secret(&root, store),
        "value": value(),
        "token": token(),
        "audit_signature": audit_signature(),
        "sealed_root_key": sealed_root_key(&root, store),
        "passphrase": passphrase(&root, store),
    })
}

fn record(root: &RootKey, store: StoreId) -> Value {
    let key = root.derive_store_key(store);
    json!({
        "kind": "secret",
        "storage_key": hex::encode("s/1"),
        "context": hex::encode(record::place("secret", b"s/1")),
        "plaintext": hex::encode("a record"),
        "sealed": hex::encode(key.seal_record(&Counting::from_zero(), "secret", b"s/1", b"a record")),
    })
}

fn key_wrap(root: &RootKey, store: StoreId) -> Value {
    let fields: [&[u8]; 2] = [b"123456789012", b"us-east-1"];
    let bound = context::encode(Use::KeyWrap, [b"a purpose", fields[0], fields[1]]);
    let wrapping = root.derive_wrapping_key(store);
    let sealed = wrapping.wrap(&Counting::from_zero(), "a purpose", &fields, &Key::from_bytes(&KEK));
    json!({
        "purpose": "a purpose",
        "fields": fields.map(hex::encode),
        "context": hex::encode(bound),
        "key": hex::encode(KEK),
        "sealed": hex::encode(sealed),
    })
}

fn sealed_secret(root: &RootKey, store: StoreId) -> Value {
    let secret = SecretBytes::copy_from(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    let fields: [&[u8]; 1] = [b"AKIAIOSFODNN7EXAMPLE"];
    let bound = context::encode(Use::SealedSecret, [b"a purpose", fields[0]]);
    let wrapping = root.derive_wrapping_key(store);
    let sealed = wrapping.seal_secret(&Counting::from_zero(), "a purpose", &fields, &secret);
    json!({
        "purpose": "a purpose",
        "fields": fields.map(hex::encode),
        "context": hex::encode(bound),
        "plaintext": hex::encode(secret.expose_secret()),
        "sealed": hex::encode(sealed),
    })
}

fn value() -> Value {
    let context = ValueContext { arn: ARN, version_id: VERSION, kind: ValueKind::String };
    let plaintext = SecretBytes::copy_from(br#"{"API_KEY":"example"}"#);
    let kek = KeyEncryptionKey::new(Key::from_bytes(&KEK));
    let sealed = kek.seal_value(&Counting::from_zero(), &context, &plaintext);
    json!({
        "key_encryption_key": hex::encode(KEK),
        "arn": ARN,
        "version_id": VERSION,
        "kind": "string",
        "data_key_context": hex::encode(context.encode(Use::DataKey)),
        "value_context": hex::encode(context.encode(Use::Value)),
        "plaintext": hex::encode(plaintext.expose_secret()),
        "wrapped_key": hex::encode(sealed.wrapped_key),
        "ciphertext": hex::encode(sealed.ciphertext),
    })
}

fn token() -> Value {
    let sealed =
        TokenKey::new(Key::from_bytes(&TOKEN_KEY)).seal(&Counting::from_zero(), "a purpose", b"a token");
    json!({
        "token_key": hex::encode(TOKEN_KEY),
        "purpose": "a purpose",
        "context": hex::encode(context::encode(Use::Token, [b"a purpose".as_slice()])),
        "plaintext": hex::encode("a token"),
        "sealed": hex::encode(sealed),
    })
}

fn audit_signature() -> Value {
    let key = AuditSigningKey::from_seed(Key::from_bytes(&AUDIT_SEED));
    json!({
        "seed": hex::encode(AUDIT_SEED),
        "public_key": key.public_key(),
        "message": hex::encode("a message"),
        "signature": hex::encode(key.sign(b"a message")),
    })
}

fn sealed_root_key(root: &RootKey, store: StoreId) -> Value {
    let sealing_key = Xaes::new(&SEALING_KEY);
    let context = context_of("key-file", store);
    let sealed = sealing_key.seal(&Counting::from_zero(), &context, root.expose_secret());
    json!({
        "key_file": format!("coffer-key-1:{}\n", hex::encode(SEALING_KEY)),
        "context": hex::encode(context),
        "seal_json": { "format": 1, "kind": "key-file", "store_id": store, "sealed": hex::encode(sealed) },
    })
}

fn passphrase(root: &RootKey, store: StoreId) -> Value {
    let seal = PassphraseSeal::new(SecretBytes::copy_from(PASSPHRASE.as_bytes()));
    let sealed = seal.seal(&Counting::from_zero(), store, root).unwrap();
    json!({ "passphrase": PASSPHRASE, "seal_json": sealed })
}

#[test]
fn what_is_sealed_today_is_what_formats_md_says() {
    let made = made_today();
    if std::env::var_os("COFFER_WRITE_VECTORS").is_some() {
        std::fs::write(file(), serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(file()).unwrap()).unwrap();
    for (name, kept) in kept.as_object().unwrap() {
        assert_eq!(&made[name], kept, "{name}");
    }
    assert_eq!(made.as_object().unwrap().len(), kept.as_object().unwrap().len());
}

#[test]
fn what_was_sealed_then_opens_today() {
    let kept: Value = serde_json::from_slice(&std::fs::read(file()).unwrap()).unwrap();
    let bytes = |pointer: &str| hex::decode(kept.pointer(pointer).unwrap().as_str().unwrap()).unwrap();
    let key = |pointer: &str| Key::from_bytes(&bytes(pointer).try_into().unwrap());
    let (root, store) = root_and_store();
    let wrapping = root.derive_wrapping_key(store);

    let record = root.derive_store_key(store).open_record("secret", b"s/1", &bytes("/record/sealed"));
    assert_eq!(*record.unwrap(), bytes("/record/plaintext"));

    let fields: [&[u8]; 2] = [b"123456789012", b"us-east-1"];
    let unwrapped = wrapping.unwrap("a purpose", &fields, &bytes("/key_wrap/sealed")).ok().unwrap();
    assert_eq!(unwrapped.expose_secret(), key("/key_wrap/key").expose_secret());

    let secret =
        wrapping.open_secret("a purpose", &[b"AKIAIOSFODNN7EXAMPLE"], &bytes("/sealed_secret/sealed"));
    assert_eq!(secret.ok().unwrap().expose_secret(), bytes("/sealed_secret/plaintext"));

    let context = ValueContext { arn: ARN, version_id: VERSION, kind: ValueKind::String };
    let sealed =
        SealedValue { wrapped_key: bytes("/value/wrapped_key"), ciphertext: bytes("/value/ciphertext") };
    let value = KeyEncryptionKey::new(key("/value/key_encryption_key")).open_value(&context, &sealed);
    assert_eq!(value.ok().unwrap().expose_secret(), bytes("/value/plaintext"));

    let token = TokenKey::new(key("/token/token_key")).open("a purpose", &bytes("/token/sealed"));
    assert_eq!(*token.unwrap(), bytes("/token/plaintext"));
}

#[test]
fn root_keys_sealed_then_open_today() {
    let kept: Value = serde_json::from_slice(&std::fs::read(file()).unwrap()).unwrap();
    let (root, store) = root_and_store();
    let sealed =
        |part: &str| SealedRootKey::from_json(kept[part]["seal_json"].to_string().as_bytes()).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, kept["sealed_root_key"]["key_file"].as_str().unwrap()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let opened = KeyFileSeal::new(&path).open(store, &sealed("sealed_root_key")).ok().unwrap();
    assert_eq!(opened.expose_secret(), root.expose_secret());

    let seal = PassphraseSeal::new(SecretBytes::copy_from(PASSPHRASE.as_bytes()));
    let opened = seal.open(store, &sealed("passphrase")).ok().unwrap();
    assert_eq!(opened.expose_secret(), root.expose_secret());
}

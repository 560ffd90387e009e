//! coffer's own protocol, spoken on the Unix socket of a running server.
//!
//! Values and bytes, and a blocking [`Client`]; no server, no core, no runtime. The only I/O is the client's.
//!
//! A connection is a sequence of frames: four bytes of length, big-endian, at most [`REQUEST_BYTES_MAX`] or
//! [`ANSWER_BYTES_MAX`], and so many bytes of JSON. Each side begins with a [`Hello`]; the server may say
//! [`Answer::Failure`] instead and hang up. Then each [`Request`] gets one [`Answer`], in order. Who is asking is
//! known to the kernel and never part of a frame.
//!
//! Invariants: no frame of a stranger makes a panic, or a buffer larger than a frame; secret values are in wiped
//! buffers and have no `Debug`, and no error repeats what stood in a frame.

mod access;
mod answer;
mod client;
mod frame;
mod request;
mod value;

pub use access::{
    Able, AccessKey, AccessRequest, AccessResponse, Considered, Entity, EntityPage, Explanation, Holder,
    HolderKind, KeyState, LastUse, NewAccessKey, Policy, PolicyPage, PolicySummary, Provider, RefusedKey,
    RoleFacts, StatementPlace, Verdict, Way,
};
pub use answer::{
    Answer, AuditHealth, AuditVerification, BegunBackup, CreatedSecret, DeletedSecret, EndedBackup, Failure,
    FailureKind, PutVersion, ReadValue, Reads, Response, SecretDescription, SecretPage, Status,
    UpdatedSecret, VersionDescription, VersionLabels, VersionPage,
};
pub use client::{BackupError, CallError, Client, ConnectError};
pub use frame::{
    ANSWER_BYTES_MAX, FrameBuffer, FrameError, Hello, JsonFault, PIECE_BYTES_MAX, PROTOCOL,
    REQUEST_BYTES_MAX, decode, encode, length_of,
};
pub use request::{DeletionMode, RecordFilter, Request};
pub use value::WireValue;

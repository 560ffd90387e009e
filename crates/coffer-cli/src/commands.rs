//! The commands: what each asks of the store, and how it shows the answer.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod deletion;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod env;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod people;
pub(crate) mod policy;
pub(crate) mod provider;
pub(crate) mod random;
pub(crate) mod reference;
pub(crate) mod render;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod tag;
pub(crate) mod up;
pub(crate) mod value;
pub(crate) mod wanted;
pub(crate) mod who_can;
pub(crate) mod who_read;

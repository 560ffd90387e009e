//! What the service manager gives a service: the files of its credentials.
//!
//! I/O: looks at the environment. Invariant: only what lies in the folder that the service manager made counts as its own.

use std::path::Path;

/// Which of the bits of a file's mode say that others may reach the secret in it.
///
/// systemd may give a credential to a service's user by an access control list: its mask then stands where the group's bits do
/// (`0440`), though no group may read it. Its folder keeps all others out.
pub(crate) fn bits_of_others(file: &Path) -> u32 {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
    bits_in(file, folder.as_deref().map(Path::new))
}

fn bits_in(file: &Path, folder: Option<&Path>) -> u32 {
    let is_given = folder.is_some_and(|folder| folder.is_absolute() && file.parent() == Some(folder));
    if is_given { 0o037 } else { 0o077 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_manager_gave() {
        let folder = "/run/credentials/coffer-agent.service";
        for (file, folder, expected) in [
            ("/run/credentials/coffer-agent.service/key", Some(folder), 0o037),
            ("/run/credentials/coffer-agent.service/../key", Some(folder), 0o077),
            ("/run/credentials/other.service/key", Some(folder), 0o077),
            ("/run/credentials/coffer-agent.service/key", None, 0o077),
            ("key", Some(""), 0o077),
        ] {
            assert_eq!(bits_in(Path::new(file), folder.map(Path::new)), expected, "{file} {folder:?}");
        }
    }
}

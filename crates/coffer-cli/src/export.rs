//! Values in the formats of others.
//!
//! Pure. Buffers have room for the worst case from the start, so that no copy is left behind.

use base64::Engine as _;
use zeroize::Zeroizing;

use crate::arguments::ExportFormat;

/// A value that a format can't hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` holds {what}, which {format} can't")]
pub(crate) struct Refusal {
    name: String,
    what: &'static str,
    format: &'static str,
}

impl Refusal {
    /// What to do instead.
    pub(crate) fn hint(&self) -> &'static str {
        "choose another format: --format json or --format k8s"
    }
}

/// `values` as `format`; `name` is what a Kubernetes Secret is called.
pub(crate) fn export<'a>(
    format: ExportFormat,
    name: &str,
    values: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let values: Vec<(&str, &[u8])> = values.collect();
    let room: usize = values.iter().map(|(name, value)| name.len() + value.len() * 6 + 32).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(room + name.len() + 256));
    match format {
        ExportFormat::Dotenv => lines(&mut text, &values, "a .env file", dotenv)?,
        ExportFormat::Shell => lines(&mut text, &values, "a shell's variable", shell)?,
        ExportFormat::Docker => lines(&mut text, &values, "an --env-file", docker)?,
        ExportFormat::Json => object(&mut text, &values)?,
        ExportFormat::K8s => k8s(&mut text, name, &values),
    }
    Ok(text)
}

/// A folder's name as Kubernetes takes one: small letters, digits and hyphens.
pub(crate) fn k8s_name_of(folder: &str) -> String {
    let plain: String = folder
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' })
        .take(253)
        .collect();
    match plain.trim_matches('-') {
        "" => "app".to_owned(),
        name => name.to_owned(),
    }
}

type Line = fn(&mut Vec<u8>, &str, &str) -> Result<(), &'static str>;

fn lines(
    text: &mut Vec<u8>,
    values: &[(&str, &[u8])],
    format: &'static str,
    line: Line,
) -> Result<(), Refusal> {
    for (name, value) in values {
        let refused = |what| Refusal { name: (*name).to_owned(), what, format };
        let value = std::str::from_utf8(value).map_err(|_| refused("bytes that are no text"))?;
        if value.contains('\0') {
            return Err(refused("a null byte"));
        }
        line(text, name, value).map_err(refused)?;
        text.push(b'\n');
    }
    Ok(())
}

/// In single quotes, as every program reads alike, if it can be; else with coffer's own escapes.
fn dotenv(text: &mut Vec<u8>, name: &str, value: &str) -> Result<(), &'static str> {
    text.extend_from_slice(name.as_bytes());
    let is_alike = !value.contains(['\'', '\r']) && !value.contains("\\\\") && !value.ends_with('\\');
    if is_alike {
        text.extend_from_slice(b"='");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\'');
        return Ok(());
    }
    text.extend_from_slice(b"=\"");
    for byte in value.bytes() {
        match byte {
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\\' | b'"' | b'$' => text.extend_from_slice(&[b'\\', byte]),
            byte => text.push(byte),
        }
    }
    text.push(b'"');
    Ok(())
}

fn shell(text: &mut Vec<u8>, name: &str, value: &str) -> Result<(), &'static str> {
    text.extend_from_slice(b"export ");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"='");
    for byte in value.bytes() {
        match byte {
            b'\'' => text.extend_from_slice(br"'\''"),
            byte => text.push(byte),
        }
    }
    text.push(b'\'');
    Ok(())
}

fn docker(text: &mut Vec<u8>, name: &str, value: &str) -> Result<(), &'static str> {
    if value.contains(['\n', '\r']) {
        return Err("a line break");
    }
    text.extend_from_slice(name.as_bytes());
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    Ok(())
}

fn object(text: &mut Vec<u8>, values: &[(&str, &[u8])]) -> Result<(), Refusal> {
    text.push(b'{');
    for (index, (name, value)) in values.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        let value = std::str::from_utf8(value).map_err(|_| Refusal {
            name: (*name).to_owned(),
            what: "bytes that are no text",
            format: "JSON",
        })?;
        // Writing a string to a Vec can't fail.
        let _ = serde_json::to_writer(&mut *text, name);
        text.push(b':');
        let _ = serde_json::to_writer(&mut *text, value);
    }
    text.extend_from_slice(b"}\n");
    Ok(())
}

fn k8s(text: &mut Vec<u8>, name: &str, values: &[(&str, &[u8])]) {
    text.extend_from_slice(b"apiVersion: v1\nkind: Secret\nmetadata:\n  name: ");
    let _ = serde_json::to_writer(&mut *text, name);
    text.extend_from_slice(b"\ntype: Opaque\ndata:");
    if values.is_empty() {
        text.extend_from_slice(b" {}");
    }
    for (name, value) in values {
        text.extend_from_slice(b"\n  ");
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        let coded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(value));
        text.extend_from_slice(coded.as_bytes());
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use coffer_resolver::env_file;
    use proptest::prelude::*;

    use super::*;

    fn exported(format: ExportFormat, value: &str) -> Result<String, String> {
        export(format, "app", [("KEY", value.as_bytes())].into_iter())
            .map(|text| String::from_utf8(text.to_vec()).unwrap())
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn each_format() {
        use ExportFormat::{Docker, Dotenv, Json, K8s, Shell};
        for (format, value, expected) in [
            (Dotenv, "a $b#c\nd", Ok("KEY='a $b#c\nd'\n")),
            (Dotenv, r"it's\$x", Ok("KEY=\"it's\\\\\\$x\"\n")),
            (Dotenv, "a\r\n", Ok("KEY=\"a\\r\\n\"\n")),
            (Shell, "it's $x", Ok("export KEY='it'\\''s $x'\n")),
            (Docker, "a 'b' \"c\"", Ok("KEY=a 'b' \"c\"\n")),
            (Docker, "a\nb", Err("`KEY` holds a line break, which an --env-file can't")),
            (Dotenv, "a\0", Err("`KEY` holds a null byte, which a .env file can't")),
            (Json, "a\"\n", Ok("{\"KEY\":\"a\\\"\\n\"}\n")),
            (
                K8s,
                "abc",
                Ok(
                    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"app\"\ntype: Opaque\ndata:\n  KEY: YWJj\n",
                ),
            ),
        ] {
            assert_eq!(
                exported(format, value),
                expected.map(str::to_owned).map_err(str::to_owned),
                "{format:?}"
            );
        }
        assert_eq!(export(K8s, "a", [].into_iter()).unwrap().as_slice().last_chunk(), Some(b"data: {}\n"));
    }

    #[test]
    fn names_of_folders() {
        for (folder, expected) in [("bot", "bot"), ("My App_2", "my-app-2"), ("--", "app"), ("é", "app")] {
            assert_eq!(k8s_name_of(folder), expected);
        }
    }

    #[test]
    fn a_shell_reads_back_what_was_written_for_it() {
        for value in ["", "a b", "it's", "$(id)`id`\\", "a\n\nb\n", "'''", "-n é"] {
            let script = exported(ExportFormat::Shell, value).unwrap();
            let output =
                Command::new("sh").arg("-c").arg(format!("{script}printf '%s' \"$KEY\"")).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
        }
    }

    proptest! {
        #[test]
        fn an_env_file_reads_back(value in r#"([a-z $#='"\\\n\r\t`é]|\\n|\$\{x\}){0,16}"#) {
            let text = exported(ExportFormat::Dotenv, &value).unwrap();
            let file = env_file::parse(Path::new("x"), text.as_bytes()).unwrap();
            prop_assert_eq!(file.entries.len(), 1);
            prop_assert_eq!(&*file.entries[0].value, &value);
        }
    }
}

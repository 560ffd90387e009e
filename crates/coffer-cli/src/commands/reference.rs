//! `completions` and `man`: what shells and readers want to know of the command itself.
//!
//! I/O: with `man --out`, a file for each command.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use coffer_wire_local::FailureKind;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::failure::Stop;
use crate::output::{Output, counted};

/// What a manual page says it is from.
const SOURCE: &str = concat!("coffer ", env!("CARGO_PKG_VERSION"));

/// `completions --json`.
#[derive(Serialize)]
struct CompletionsObject<'a> {
    shell: String,
    script: &'a str,
}

/// `man --json`: a page, or the files written.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ManObject<'a> {
    Page(&'a str),
    Files(&'a [String]),
}

pub(crate) fn completions(shell: Shell, output: Output) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "coffer", &mut script);
    let script = String::from_utf8_lossy(&script);
    if output.json {
        return output.data(&CompletionsObject { shell: shell.to_string(), script: &script }, |_| Ok(()));
    }
    output.bytes(script.as_bytes())
}

pub(crate) fn man(out: Option<&Path>, output: Output) -> Result<(), Stop> {
    let mut command = Arguments::command();
    let Some(folder) = out else {
        let page = page_of(command);
        return match output.json {
            true => output.data(&ManObject::Page(&String::from_utf8_lossy(&page)), |_| Ok(())),
            false => output.bytes(&page),
        };
    };
    let failed = |error: std::io::Error| {
        Stop::new(FailureKind::Other, format!("cannot write to `{}`: {error}", folder.display()))
    };
    command.build();
    fs::create_dir_all(folder).map_err(failed)?;
    let mut files = Vec::new();
    write_pages(folder, command, "coffer", &mut files).map_err(failed)?;
    output.data(&ManObject::Files(&files), |text| {
        use std::fmt::Write as _;
        writeln!(text, "wrote {} to {}", counted(files.len(), "page"), folder.display())
    })
}

/// The page of a command, and those of the commands below it.
fn write_pages(
    folder: &Path,
    command: clap::Command,
    name: &str,
    files: &mut Vec<String>,
) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        write_pages(folder, below.clone(), &format!("{name}-{}", below.get_name()), files)?;
    }
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page_of(command.display_name(name.to_owned())))?;
    files.push(path.display().to_string());
    Ok(())
}

fn page_of(command: clap::Command) -> Vec<u8> {
    let mut page = Vec::new();
    // Writing to a Vec can't fail.
    let _ = clap_mangen::Man::new(command).manual("coffer").source(SOURCE).render(&mut page);
    page
}

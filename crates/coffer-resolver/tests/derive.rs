//! A struct of credentials: what is loaded into it, and what is said if something is wrong.

#![expect(clippy::unwrap_used, reason = "in a test")]

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use coffer_resolver::{
    Credentials, ErrorKind, LoadCredentials, Manifest, Resolver, ResolverOptions, SecretText, Surroundings,
};
use coffer_types::SecretBytes;

#[derive(Credentials)]
#[credentials(prefix = "BOT_")]
struct Bot {
    api_key: SecretText,
    key: Option<Arc<SecretBytes>>,
    #[credential(name = "PORT")]
    port: u16,
    debug: Option<bool>,
    r#type: Option<SecretText>,
    limit: Option<i64>,
}

fn resolver(variables: &[(&str, &str)]) -> Arc<Resolver> {
    let text = "[secrets.BOT_API_KEY]\nowner = \"team bot\"\n[secrets.BOT_DEBUG]\nrequired = false\ndefault = \"yes\"\n\
        [profiles.development]\nchain = [\"env\", \"default\"]";
    let manifest = Manifest::parse(Path::new("x"), text).unwrap();
    Arc::new(Resolver::new(manifest, Surroundings::of(variables, "/"), ResolverOptions::default()).unwrap())
}

#[test]
fn fields_are_found_by_their_names() {
    assert_eq!(Bot::NAMES, ["BOT_API_KEY", "BOT_KEY", "PORT", "BOT_DEBUG", "BOT_TYPE", "BOT_LIMIT"]);
    let bot =
        Bot::load(&resolver(&[("BOT_API_KEY", "hunter2"), ("PORT", "8080"), ("BOT_LIMIT", "-5")])).unwrap();
    assert_eq!((bot.api_key.expose_secret(), bot.port, bot.debug), ("hunter2", 8080, Some(true)));
    assert!(bot.key.is_none() && bot.r#type.is_none());
    assert_eq!(bot.limit, Some(-5));
    let bot =
        Bot::load(&resolver(&[("BOT_API_KEY", "a"), ("PORT", "1"), ("BOT_KEY", "k"), ("BOT_TYPE", "t")]))
            .unwrap();
    assert_eq!(bot.key.unwrap().expose_secret(), b"k");
    assert_eq!(bot.r#type.unwrap().expose_secret(), "t");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let problems = Bot::load(&resolver(&[("PORT", "hunter2"), ("BOT_DEBUG", "hunter2"), ("BOT_KEY", "")]))
        .err()
        .unwrap();
    let said: Vec<String> =
        problems.0.iter().map(|problem| format!("{problem}; {}", problem.action())).collect();
    assert_eq!(
        said,
        [
            "`BOT_API_KEY` is missing; set it where it is looked for first, `env:BOT_API_KEY`, or ask team bot",
            "`BOT_KEY` is empty in `env:BOT_KEY`; give `env:BOT_KEY` a value, or remove it there",
            "`PORT` in `env:PORT` is not a whole number from 0 to 65535; make `env:PORT` a whole number from 0 to 65535",
            "`BOT_DEBUG` in `env:BOT_DEBUG` is not true or false; make `env:BOT_DEBUG` true or false",
        ]
    );
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// No runtime: a thread that sleeps until it is woken.
fn wait_for<F: Future + Unpin>(mut future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn nothing_blocks_where_nothing_may() {
    let resolver = resolver(&[("BOT_API_KEY", "hunter2"), ("PORT", "8080")]);
    let bot = wait_for(Bot::load_async(&resolver)).unwrap();
    assert_eq!(bot.api_key.expose_secret(), "hunter2");
    let found = wait_for(resolver.get_async("BOT_API_KEY")).unwrap().unwrap();
    assert_eq!(found.value.expose_secret(), b"hunter2");
    assert_eq!(wait_for(resolver.get_async("NONE")).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(wait_for(resolver.load_async()).unwrap().iter().count(), 2);
}

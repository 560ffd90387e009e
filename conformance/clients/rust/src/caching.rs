//! The cases of `aws_secretsmanager_caching`: what it asks for, how often, and when it sees a new version.

use std::num::NonZeroUsize;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_secretsmanager_caching::SecretsManagerCachingClient;

use crate::{Case, Outcome, case, check, config, equal, requests, unique, variable};

pub(crate) const CASES: &[Case] = &[
    case!("a cache made from the environment alone", default),
    case!("a second read asks nothing", second_read),
    case!("a binary value", binary),
    case!("a stage other than the current one", stage),
    case!("a new version once its time is over", expiry),
    case!("a refresh on demand", refresh),
    case!("a secret that is not there", missing),
    case!("many secrets fetched at once", batch),
];

const ROOM: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not 0");
const AN_HOUR: Duration = Duration::from_secs(3600);

/// As people make it, but through the proxy that counts.
async fn cache(lives: Duration) -> Outcome<SecretsManagerCachingClient> {
    let builder = aws_sdk_secretsmanager::config::Builder::from(&config().await);
    let builder = builder.endpoint_url(variable("COFFER_COUNTING_URL")?);
    Ok(SecretsManagerCachingClient::from_builder(builder, ROOM, lives, false).await?)
}

async fn create(client: &Client, name: &str, value: &str) -> Outcome {
    client.create_secret().name(name).secret_string(value).send().await?;
    Ok(())
}

async fn put(client: &Client, name: &str, value: &str) -> Outcome {
    client.put_secret_value().secret_id(name).secret_string(value).send().await?;
    Ok(())
}

async fn read(cache: &SecretsManagerCachingClient, name: &str) -> Outcome<Option<String>> {
    Ok(cache.get_secret_value(name, None, None, false).await?.secret_string)
}

fn asked(name: &str) -> Outcome<u32> {
    requests(&variable("COFFER_COUNTING_URL")?, "GetSecretValue", name)
}

async fn default(client: Client) -> Outcome {
    let name = unique();
    create(&client, &name, "one").await?;
    let cache = SecretsManagerCachingClient::default(ROOM, AN_HOUR).await?;
    equal(read(&cache, &name).await?.as_deref(), Some("one"))
}

async fn second_read(client: Client) -> Outcome {
    let name = unique();
    create(&client, &name, "one").await?;
    let cache = cache(AN_HOUR).await?;
    for _ in 0..5 {
        equal(read(&cache, &name).await?.as_deref(), Some("one"))?;
    }
    equal(asked(&name)?, 1)
}

async fn binary(client: Client) -> Outcome {
    let name = unique();
    let value: Vec<u8> = (0..=255).collect();
    client.create_secret().name(&name).secret_binary(Blob::new(value.clone())).send().await?;
    let read = cache(AN_HOUR).await?.get_secret_value(&name, None, None, false).await?;
    check(read.secret_binary.is_some_and(|binary| binary.into_inner() == value), "another value")?;
    equal(read.secret_string, None)
}

async fn stage(client: Client) -> Outcome {
    let name = unique();
    create(&client, &name, "one").await?;
    put(&client, &name, "two").await?;
    let cache = cache(AN_HOUR).await?;
    let previous = cache.get_secret_value(&name, None, Some("AWSPREVIOUS"), false).await?;
    equal(previous.secret_string.as_deref(), Some("one"))?;
    equal(read(&cache, &name).await?.as_deref(), Some("two"))
}

async fn expiry(client: Client) -> Outcome {
    let name = unique();
    create(&client, &name, "one").await?;
    let cache = cache(Duration::from_secs(1)).await?;
    equal(read(&cache, &name).await?.as_deref(), Some("one"))?;
    put(&client, &name, "two").await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    equal(read(&cache, &name).await?.as_deref(), Some("two"))
}

async fn refresh(client: Client) -> Outcome {
    let name = unique();
    create(&client, &name, "one").await?;
    let cache = cache(AN_HOUR).await?;
    equal(read(&cache, &name).await?.as_deref(), Some("one"))?;
    put(&client, &name, "two").await?;
    equal(read(&cache, &name).await?.as_deref(), Some("one"))?;
    let fresh = cache.get_secret_value(&name, None, None, true).await?;
    equal(fresh.secret_string.as_deref(), Some("two"))?;
    equal(read(&cache, &name).await?.as_deref(), Some("two"))?;
    equal(asked(&name)?, 2)
}

async fn missing(_: Client) -> Outcome {
    let cache = cache(AN_HOUR).await?;
    let error = match cache.get_secret_value(&unique(), None, None, false).await {
        Ok(_) => return Err("answered".into()),
        Err(error) => error,
    };
    let error = error.downcast::<aws_sdk_secretsmanager::error::SdkError<GetSecretValueError>>()?;
    equal(error.code(), Some("ResourceNotFoundException"))
}

async fn batch(client: Client) -> Outcome {
    let (first, second) = (unique(), unique());
    create(&client, &first, "one").await?;
    create(&client, &second, "two").await?;
    let cache = cache(AN_HOUR).await?;
    let answer =
        cache.batch_get_secret_value(Some(vec![first.clone(), second.clone()]), None, None, None).await?;
    equal(answer.map(|answer| (answer.secret_values().len(), answer.errors().len())), Some((2, 0)))?;
    equal(read(&cache, &first).await?.as_deref(), Some("one"))?;
    equal(read(&cache, &second).await?.as_deref(), Some("two"))?;
    equal(asked(&first)? + asked(&second)?, 0)
}

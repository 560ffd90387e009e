//! The cases of `aws-sdk-secretsmanager`: what it does to a secret, and which of its error types a refusal becomes.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::operation::{RequestId, create_secret, get_secret_value};
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SortByType, SortOrderType, Tag};
use aws_sdk_secretsmanager::{Client, Config, Error};

use crate::{Case, Outcome, case, check, config, equal, requests, token, unique, variable};

pub(crate) const CASES: &[Case] = &[
    case!("a secret's life", life),
    case!("versions and stages", stages),
    case!("deletion, restoring, deletion for good", deletion),
    case!("lists by its paginator", paginator),
    case!("every byte in a binary value", binary),
    case!("65,536 bytes and one more", size),
    case!("unicode in a value and a description", unicode),
    case!("typed exceptions", exceptions),
    case!("a caller without a policy is denied", denied),
    case!("a wrong secret key", wrong_key),
    case!("a token sent again", token_again),
    case!("a lost answer is asked for again", lost_answer),
    case!("a description and a value updated", update),
    case!("tags put on and taken off", tags),
    case!("a random password", random_password),
    case!("many values at once", batch),
    case!("a list with filters", filters),
];

type GetResult = Result<GetSecretValueOutput, SdkError<get_secret_value::GetSecretValueError>>;

async fn get(client: &Client, name: &str) -> GetResult {
    client.get_secret_value().secret_id(name).send().await
}

async fn create(client: &Client, name: &str, value: &str) -> Outcome<create_secret::CreateSecretOutput> {
    Ok(client.create_secret().name(name).secret_string(value).send().await?)
}

/// The call must be refused with this code, as an error that this variant of the SDK's `Error` holds.
fn refused<T: Debug, E>(result: Result<T, SdkError<E>>, code: &str, variant: fn(&Error) -> bool) -> Outcome
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    Error: From<SdkError<E>>,
{
    let error = match result {
        Ok(answer) => return Err(format!("{code} was expected: {answer:?}").into()),
        Err(error) => error,
    };
    equal(error.raw_response().map(|response| response.status().as_u16()), Some(400))?;
    check(error.request_id().is_some(), "no request id")?;
    let error = Error::from(error);
    equal(error.code(), Some(code))?;
    check(variant(&error), format!("{error:?} is of another type"))
}

/// What the service model does not list is not in the SDK's `Error` under a name of its own.
fn is_unlisted(error: &Error) -> bool {
    use Error::{
        InvalidParameterException, InvalidRequestException, ResourceExistsException,
        ResourceNotFoundException,
    };
    !matches!(
        error,
        InvalidParameterException(_)
            | InvalidRequestException(_)
            | ResourceExistsException(_)
            | ResourceNotFoundException(_)
    )
}

async fn life(client: Client) -> Outcome {
    let (name, first, second) = (unique(), token(), token());
    let made = client
        .create_secret()
        .name(&name)
        .description("of the database")
        .secret_string("one")
        .client_request_token(&first)
        .tags(Tag::builder().key("stage").value("test").build())
        .send()
        .await?;
    equal(made.name(), Some(name.as_str()))?;
    equal(made.version_id(), Some(first.as_str()))?;
    let read = get(&client, &name).await?;
    equal(read.secret_string(), Some("one"))?;
    check(read.secret_binary().is_none(), "a string that is binary too")?;
    equal(read.version_stages(), ["AWSCURRENT"])?;
    let created = SystemTime::try_from(*read.created_date().ok_or("no date")?)?;
    let age = created.elapsed().unwrap_or_else(|ahead| ahead.duration());
    check(age < Duration::from_secs(60), format!("created {age:?} from now"))?;
    let put = client.put_secret_value().secret_id(made.arn().ok_or("no ARN")?);
    let put = put.secret_string("two").client_request_token(&second).send().await?;
    equal(put.version_stages(), ["AWSCURRENT"])?;
    let previous = client.get_secret_value().secret_id(&name).version_stage("AWSPREVIOUS").send().await?;
    equal(previous.secret_string(), Some("one"))?;
    let described = client.describe_secret().secret_id(&name).send().await?;
    equal(described.description(), Some("of the database"))?;
    let wanted =
        HashMap::from([(first, vec!["AWSPREVIOUS".to_owned()]), (second, vec!["AWSCURRENT".to_owned()])]);
    equal(described.version_ids_to_stages(), Some(&wanted))?;
    equal(described.tags(), [Tag::builder().key("stage").value("test").build()])?;
    equal(described.deleted_date(), None)
}

async fn stages(client: Client) -> Outcome {
    let (name, first, second) = (unique(), token(), token());
    client.create_secret().name(&name).secret_string("one").client_request_token(&first).send().await?;
    let put = client.put_secret_value().secret_id(&name).secret_string("two").client_request_token(&second);
    put.version_stages("AWSPENDING").send().await?;
    let moved = client.update_secret_version_stage().secret_id(&name).version_stage("AWSCURRENT");
    moved.move_to_version_id(&second).remove_from_version_id(&first).send().await?;
    equal(get(&client, &name).await?.version_id(), Some(second.as_str()))?;
    let mut seen = BTreeSet::new();
    let mut pages = client.list_secret_version_ids().secret_id(&name).max_results(1).into_paginator().send();
    while let Some(page) = pages.next().await {
        seen.extend(page?.versions().iter().filter_map(|version| version.version_id().map(str::to_owned)));
    }
    equal(seen, BTreeSet::from([first, second]))
}

async fn deletion(client: Client) -> Outcome {
    let name = unique();
    create(&client, &name, "one").await?;
    let deleted = client.delete_secret().secret_id(&name).recovery_window_in_days(7).send().await?;
    let at = SystemTime::try_from(*deleted.deletion_date().ok_or("no date")?)?;
    let days = at.duration_since(SystemTime::now())?.as_secs_f64() / 86_400.0;
    check((6.9..7.1).contains(&days), format!("in {days} days"))?;
    refused(get(&client, &name).await, "InvalidRequestException", |error| {
        matches!(error, Error::InvalidRequestException(_))
    })?;
    client.restore_secret().secret_id(&name).send().await?;
    equal(get(&client, &name).await?.secret_string(), Some("one"))?;
    client.delete_secret().secret_id(&name).force_delete_without_recovery(true).send().await?;
    refused(get(&client, &name).await, "ResourceNotFoundException", |error| {
        matches!(error, Error::ResourceNotFoundException(_))
    })
}

async fn paginator(client: Client) -> Outcome {
    let prefix = unique();
    let names: BTreeSet<String> =
        ["a", "b", "c", "d", "e"].iter().map(|end| format!("{prefix}/{end}")).collect();
    for name in &names {
        client.create_secret().name(name).send().await?;
    }
    let mut listed = BTreeSet::new();
    let mut pages = client.list_secrets().max_results(2).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page?;
        check(page.secret_list().len() <= 2, "a page of more than 2")?;
        let found = page.secret_list().iter().filter_map(|secret| secret.name());
        listed.extend(found.filter(|name| name.starts_with(&prefix)).map(str::to_owned));
    }
    equal(listed, names)
}

async fn binary(client: Client) -> Outcome {
    let name = unique();
    let value: Vec<u8> = (0..=255).collect();
    client.create_secret().name(&name).secret_binary(Blob::new(value.clone())).send().await?;
    let read = get(&client, &name).await?;
    equal(read.secret_binary().map(Blob::as_ref), Some(value.as_slice()))?;
    equal(read.secret_string(), None)
}

async fn size(client: Client) -> Outcome {
    let (name, value) = (unique(), "x".repeat(65_536));
    create(&client, &name, &value).await?;
    equal(get(&client, &name).await?.secret_string(), Some(value.as_str()))?;
    let put = client.put_secret_value().secret_id(&name).secret_string(value + "x").send().await;
    refused(put, "ValidationException", is_unlisted)
}

async fn unicode(client: Client) -> Outcome {
    let (name, text) = (unique(), "pässwörd 密码 🔑 \0 \u{2028} \"\\\n");
    client.create_secret().name(&name).secret_string(text).description("ключ 🔑").send().await?;
    equal(get(&client, &name).await?.secret_string(), Some(text))?;
    let described = client.describe_secret().secret_id(&name).send().await?;
    equal(described.description(), Some("ключ 🔑"))
}

async fn exceptions(client: Client) -> Outcome {
    let name = unique();
    refused(get(&client, &name).await, "ResourceNotFoundException", |error| {
        matches!(error, Error::ResourceNotFoundException(_))
    })?;
    create(&client, &name, "one").await?;
    let again = client.create_secret().name(&name).secret_string("two").send().await;
    refused(again, "ResourceExistsException", |error| matches!(error, Error::ResourceExistsException(_)))?;
    let soon = client.delete_secret().secret_id(&name).recovery_window_in_days(6).send().await;
    refused(soon, "InvalidParameterException", |error| matches!(error, Error::InvalidParameterException(_)))?;
    client.delete_secret().secret_id(&name).send().await?;
    let put = client.put_secret_value().secret_id(&name).secret_string("two").send().await;
    refused(put, "InvalidRequestException", |error| matches!(error, Error::InvalidRequestException(_)))
}

async fn with_keys(access_key_id: &str, secret_access_key: &str) -> Client {
    let keys = Credentials::new(access_key_id, secret_access_key, None, None, "conformance");
    let config: Config =
        aws_sdk_secretsmanager::config::Builder::from(&config().await).credentials_provider(keys).build();
    Client::from_conf(config)
}

async fn denied(_: Client) -> Outcome {
    let nobody = with_keys("nobody", "nobody").await;
    refused(get(&nobody, &unique()).await, "AccessDeniedException", is_unlisted)
}

async fn wrong_key(_: Client) -> Outcome {
    let forger = with_keys(&variable("AWS_ACCESS_KEY_ID")?, "wrong").await;
    refused(forger.list_secrets().send().await, "InvalidSignatureException", is_unlisted)
}

async fn token_again(client: Client) -> Outcome {
    let (name, token) = (unique(), token());
    let request = client.create_secret().name(&name).client_request_token(&token);
    let first = request.clone().secret_string("one").send().await?;
    let second = request.clone().secret_string("one").send().await?;
    equal((second.arn(), second.version_id()), (first.arn(), first.version_id()))?;
    refused(request.secret_string("two").send().await, "ResourceExistsException", |error| {
        matches!(error, Error::ResourceExistsException(_))
    })
}

async fn lost_answer(client: Client) -> Outcome {
    let (name, url) = (unique(), variable("COFFER_LOSING_URL")?);
    let builder = aws_sdk_secretsmanager::config::Builder::from(&config().await);
    let losing = Client::from_conf(builder.endpoint_url(&url).build());
    let made = create(&losing, &name, "one").await?;
    equal(requests(&url, "CreateSecret", &name)?, 2)?;
    let put = losing.put_secret_value().secret_id(&name).secret_string("two").send().await?;
    equal(requests(&url, "PutSecretValue", &name)?, 2)?;
    let listed = client.list_secret_version_ids().secret_id(&name).send().await?;
    let versions: BTreeSet<_> = listed.versions().iter().map(|version| version.version_id()).collect();
    equal(versions, BTreeSet::from([made.version_id(), put.version_id()]))
}

async fn update(client: Client) -> Outcome {
    let (name, token) = (unique(), token());
    let made = create(&client, &name, "one").await?;
    let described = client.update_secret().secret_id(&name).description("after").send().await?;
    equal((described.arn(), described.version_id()), (made.arn(), None))?;
    let update = client.update_secret().secret_id(&name).secret_string("two").client_request_token(&token);
    equal(update.send().await?.version_id(), Some(token.as_str()))?;
    equal(get(&client, &name).await?.secret_string(), Some("two"))?;
    let described = client.describe_secret().secret_id(&name).send().await?;
    equal(described.description(), Some("after"))
}

async fn tags(client: Client) -> Outcome {
    let name = unique();
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    client.create_secret().name(&name).tags(tag("a", "1")).send().await?;
    client.tag_resource().secret_id(&name).tags(tag("b", "2")).send().await?;
    client.untag_resource().secret_id(&name).tag_keys("a").tag_keys("absent").send().await?;
    equal(client.describe_secret().secret_id(&name).send().await?.tags(), [tag("b", "2")])
}

async fn random_password(client: Client) -> Outcome {
    let request = client.get_random_password().password_length(40);
    let answer = request.exclude_punctuation(true).exclude_uppercase(true).send().await?;
    let password = answer.random_password().ok_or("no password")?;
    let is_asked_for = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    check(password.len() == 40 && password.bytes().all(is_asked_for), "not as asked for")?;
    let short = client.get_random_password().password_length(3).require_each_included_type(true).send().await;
    refused(short, "InvalidParameterException", |error| matches!(error, Error::InvalidParameterException(_)))
}

async fn batch(client: Client) -> Outcome {
    let (text, binary, missing) = (unique(), unique(), unique());
    create(&client, &text, "one").await?;
    client.create_secret().name(&binary).secret_binary(Blob::new([0, 255])).send().await?;
    let request = client.batch_get_secret_value().secret_id_list(&text).secret_id_list(&missing);
    let answer = request.secret_id_list(&binary).send().await?;
    let found: HashMap<_, _> = answer.secret_values().iter().map(|value| (value.name(), value)).collect();
    equal(found.len(), 2)?;
    equal(found.get(&Some(text.as_str())).and_then(|value| value.secret_string()), Some("one"))?;
    let bytes = found.get(&Some(binary.as_str())).and_then(|value| value.secret_binary());
    equal(bytes.map(Blob::as_ref), Some([0, 255].as_slice()))?;
    let errors: Vec<_> =
        answer.errors().iter().map(|error| (error.secret_id(), error.error_code())).collect();
    equal(errors, [(Some(missing.as_str()), Some("ResourceNotFoundException"))])
}

async fn filters(client: Client) -> Outcome {
    let prefix = unique();
    for end in ["a", "b", "c"] {
        let tag = Tag::builder().key("end").value(end).build();
        client.create_secret().name(format!("{prefix}/{end}")).tags(tag).send().await?;
    }
    let by_name = Filter::builder().key(FilterNameStringType::Name).values(&prefix).build();
    let by_tag = Filter::builder().key(FilterNameStringType::TagValue).values("a").values("c").build();
    let request = client.list_secrets().filters(by_name).filters(by_tag).max_results(1);
    let request = request.sort_by(SortByType::Name).sort_order(SortOrderType::Asc);
    let mut names = Vec::new();
    let mut pages = request.into_paginator().send();
    while let Some(page) = pages.next().await {
        names.extend(page?.secret_list().iter().filter_map(|secret| secret.name().map(str::to_owned)));
    }
    equal(names, [format!("{prefix}/a"), format!("{prefix}/c")])
}

//! The policy language as AWS's documentation tells it, sentence by sentence: no index, no compilation, no care for speed.
//!
//! Written from the IAM user guide (evaluation logic, JSON policy elements, condition operators, variables), not from the
//! engine. What the guide leaves open is marked, and answered as `coffer-policy` says it does.

use serde_json::{Value, json};

use super::Case;

/// What it answers: `allowed`, `denied` for a statement that denies, or `no …` with the kind of policy that is missing.
pub fn naive(case: &Case) -> String {
    let identity = case.documents("identity").unwrap_or_default();
    let session = case.documents("session");
    let boundary = some(&case.0["boundary"]);
    let resource = some(&case.0["resource_policy"]);
    let levels: Vec<Vec<Value>> = list(&case.0["service_control"]).iter().map(list).collect();

    // "An explicit deny in any of these policies overrides the allow."
    let mut everything = identity.clone();
    everything.extend(session.iter().flatten().cloned());
    everything.extend(boundary.iter().chain(&resource).cloned());
    everything.extend(levels.iter().flatten().cloned());
    if everything.iter().any(|policy| matching(case, policy, "Deny").next().is_some()) {
        return "denied".into();
    }
    let allows = |policy: &Value| matching(case, policy, "Allow").next().is_some();
    if levels.iter().any(|level| !level.iter().any(allows)) {
        return "no service control policy".into();
    }
    let named = resource.iter().flat_map(|policy| matching(case, policy, "Allow")).max();
    let kind = case.0["principal"]["type"].as_str().unwrap_or("anonymous");
    if ["anonymous", "service", "federated"].contains(&kind) {
        return if named.is_some() { "allowed".into() } else { "no resource-based policy".into() };
    }
    let by_identity = kind == "root" || identity.iter().any(allows);
    let within = |allowed: bool| {
        if !allowed {
            return "no identity-based policy".to_owned();
        }
        if boundary.as_ref().is_some_and(|boundary| !allows(boundary)) {
            return "no permissions boundary".to_owned();
        }
        if session.as_ref().is_some_and(|session| !session.iter().any(allows)) {
            return "no session policy".to_owned();
        }
        "allowed".to_owned()
    };
    if case.0["other_account"] == json!(true) {
        // "Both must allow."
        return match (by_identity, named) {
            (false, _) => "no identity-based policy".into(),
            (true, None) => "no resource-based policy".into(),
            (true, Some(_)) => within(true),
        };
    }
    match named {
        // "Resource-based policies that grant permissions to the user or session ARN are not limited."
        Some(Named::Itself) => "allowed".into(),
        // "… to an IAM role ARN are limited by an implicit deny in a permissions boundary or session policy."
        Some(Named::Role) => within(true),
        // "… delegates authority to the account."
        Some(Named::Account) => within(by_identity),
        None if case.0["resource_policy_required"] == json!(true) => "no resource-based policy".into(),
        None => within(by_identity),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Account,
    Role,
    Itself,
}

/// How closely each statement of this effect that matches names the principal.
fn matching<'a>(case: &'a Case, policy: &'a Value, effect: &'a str) -> impl Iterator<Item = Named> + 'a {
    let variables = policy["Version"] == json!("2012-10-17");
    let about = move |statement: &Value| statement_matches(case, statement, effect, variables);
    let statements =
        list(&policy["Statement"]).into_iter().filter(move |statement| statement["Effect"] == json!(effect));
    statements.filter_map(move |statement| about(&statement))
}

fn statement_matches(case: &Case, statement: &Value, effect: &str, variables: bool) -> Option<Named> {
    let action = case.text("action").to_lowercase();
    let is_action = |element: &str| {
        texts(&statement[element]).iter().any(|text| like(&characters(&text.to_lowercase()), &action))
    };
    if !statement["Action"].is_null() && !is_action("Action")
        || !statement["NotAction"].is_null() && is_action("NotAction")
    {
        return None;
    }
    let resource = case.text("resource");
    let patterns = |element: &str| -> Vec<Option<Vec<Symbol>>> {
        texts(&statement[element])
            .iter()
            .map(|text| expand(case, &completed(text), variables, true))
            .collect()
    };
    let is_resource =
        |patterns: &[Option<Vec<Symbol>>]| patterns.iter().flatten().any(|pattern| like(pattern, resource));
    if !statement["Resource"].is_null() && !is_resource(&patterns("Resource")) {
        return None;
    }
    if !statement["NotResource"].is_null() {
        let patterns = patterns("NotResource");
        // Left open by the guide: a variable without value. Nothing is allowed by it.
        let is_open = effect == "Allow" && patterns.iter().any(Option::is_none);
        if is_open || is_resource(&patterns) {
            return None;
        }
    }
    let named = if !statement["Principal"].is_null() {
        // Left open by the guide: a provider's token under `*`. Only what names the provider trusts it.
        let is_token = case.0["principal"]["type"] == "federated";
        names(case, &statement["Principal"], !(is_token && effect == "Allow")).max()?
    } else if !statement["NotPrincipal"].is_null() {
        let named = names(case, &statement["NotPrincipal"], true).max();
        // "… will always deny any IAM principal that has a permissions boundary attached." The rest is left open.
        let spared = match effect {
            "Deny" => named == Some(Named::Itself) && case.0["boundary"].is_null(),
            _ => named.is_some(),
        };
        if spared {
            return None;
        }
        Named::Itself
    } else {
        Named::Itself
    };
    let conditions = statement["Condition"].as_object().cloned().unwrap_or_default();
    let hold = conditions.iter().all(|(operator, keys)| {
        let keys = keys.as_object().cloned().unwrap_or_default();
        keys.iter()
            .all(|(key, wanted)| condition_holds(case, effect, operator, key, &texts(wanted), variables))
    });
    hold.then_some(named)
}

fn names<'a>(
    case: &'a Case,
    principals: &'a Value,
    is_in_everybody: bool,
) -> impl Iterator<Item = Named> + 'a {
    let pairs: Vec<(String, String)> = match principals {
        Value::Object(kinds) => kinds
            .iter()
            .flat_map(|(kind, names)| texts(names).into_iter().map(|name| (kind.clone(), name)))
            .collect(),
        everybody => vec![("AWS".into(), everybody.as_str().unwrap_or_default().into())],
    };
    let of = |member: &str| case.0["principal"][member].as_str().unwrap_or("none").to_owned();
    let principal = of("type");
    let (arn, role, account, id) = (of("arn"), of("role_arn"), of("account"), of("unique_id"));
    let (service, provider) = (of("name"), of("provider"));
    pairs.into_iter().filter_map(move |(kind, name)| match kind.as_str() {
        "AWS" if name == "*" => is_in_everybody.then_some(Named::Itself),
        // "The account ARN and the shortened account ID behave the same way."
        "AWS" if name == account || name == format!("arn:aws:iam::{account}:root") => {
            Some(if principal == "root" { Named::Itself } else { Named::Account })
        }
        "AWS" if name == arn => Some(Named::Itself),
        "AWS" if name == role => Some(Named::Role),
        "AWS" if name == id => Some(if principal == "user" { Named::Itself } else { Named::Role }),
        "Service" if name == service => Some(Named::Itself),
        "Federated" if name == provider => Some(Named::Itself),
        _ => None,
    })
}

fn condition_holds(
    case: &Case,
    effect: &str,
    operator: &str,
    key: &str,
    wanted: &[String],
    variables: bool,
) -> bool {
    let (set, rest) = operator.split_once(':').unwrap_or(("", operator));
    let if_exists = rest.ends_with("IfExists");
    let operator = rest.trim_end_matches("IfExists");
    let value = value_of(case, key);
    let values = texts(&value);
    if operator == "Null" {
        return wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(&values.is_empty().to_string()));
    }
    let is_negated = operator.contains("Not");
    let positive = operator.replace("Not", "");
    if values.is_empty() {
        return if_exists || set == "ForAllValues" || set.is_empty() && is_negated;
    }
    let takes_variables = ["String", "Arn"].iter().any(|comparison| positive.starts_with(comparison));
    let is_open = |wanted: &String| takes_variables && expand(case, wanted, variables, true).is_none();
    // Left open by the guide: a variable without value that nothing may be equal to. Nothing is allowed by it.
    if is_negated && effect == "Allow" && wanted.iter().any(is_open) {
        return false;
    }
    let one = |value: &String| {
        wanted.iter().any(|wanted| compare(case, &positive, value, wanted, variables)) != is_negated
    };
    match set {
        "ForAllValues" => values.iter().all(one),
        "ForAnyValue" => values.iter().any(one),
        // A key of several values needs one of the two. Left open by the guide: what is without. It denies rather than allows.
        _ if value.is_array() => effect == "Deny" && values.iter().any(one),
        _ => values.iter().all(one),
    }
}

fn compare(case: &Case, operator: &str, value: &str, wanted: &str, variables: bool) -> bool {
    let pattern = |wildcards| expand(case, wanted, variables, wildcards);
    let number = |text: &str| text.parse::<f64>().ok();
    let ordered = |ordering: Option<std::cmp::Ordering>| {
        ordering.is_some_and(|ordering| {
            match operator.trim_start_matches("Numeric").trim_start_matches("Date") {
                "Equals" => ordering.is_eq(),
                "LessThan" => ordering.is_lt(),
                "LessThanEquals" => ordering.is_le(),
                "GreaterThan" => ordering.is_gt(),
                "GreaterThanEquals" => ordering.is_ge(),
                other => panic!("`{other}` orders nothing"),
            }
        })
    };
    match operator {
        "StringEquals" => pattern(false).is_some_and(|pattern| like(&pattern, value)),
        "StringLike" => pattern(true).is_some_and(|pattern| like(&pattern, value)),
        "StringEqualsIgnoreCase" => pattern(false).is_some_and(|pattern| {
            let lower = |symbol: Symbol| match symbol {
                Symbol::Character(character) => characters_of(&character.to_lowercase().to_string()),
                Symbol::One | Symbol::Any => vec![symbol],
            };
            like(&pattern.into_iter().flat_map(lower).collect::<Vec<_>>(), &value.to_lowercase())
        }),
        "ArnEquals" | "ArnLike" => arn_like(case, value, wanted, variables),
        "Bool" => value.eq_ignore_ascii_case(wanted),
        // The same bytes are the same text in base64 but for its padding.
        "BinaryEquals" => value.trim_end_matches('=') == wanted.trim_end_matches('='),
        "IpAddress" => in_network(value, wanted),
        date if date.starts_with("Date") => {
            ordered(moment(value).zip(moment(wanted)).map(|(a, b)| a.cmp(&b)))
        }
        _ => ordered(number(value).zip(number(wanted)).and_then(|(a, b)| a.partial_cmp(&b))),
    }
}

/// "Each of the six colon-delimited components of the ARN is checked separately."
fn arn_like(case: &Case, value: &str, wanted: &str, variables: bool) -> bool {
    let value: Vec<&str> = value.splitn(6, ':').collect();
    if value.len() < 6 || value[0] != "arn" {
        return false;
    }
    if wanted == "*" {
        return true;
    }
    let parts = parts_of(wanted, variables);
    let matches = |(part, value): (&String, &&str)| {
        expand(case, part, variables, true).is_some_and(|pattern| like(&pattern, value))
    };
    parts.len() == 6 && parts.iter().zip(&value).all(matches)
}

/// Six parts at most; a colon within a variable separates nothing.
fn parts_of(text: &str, variables: bool) -> Vec<String> {
    let (mut parts, mut rest) = (vec![String::new()], text);
    while let Some(character) = rest.chars().next() {
        let taken = if variables { variable(rest).map_or(0, |(taken, _)| taken) } else { 0 };
        let length = taken.max(character.len_utf8());
        if character == ':' && parts.len() < 6 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    parts
}

/// "If you specify an incomplete ARN, AWS automatically completes the ARN by adding wildcard characters to all missing fields."
fn completed(text: &str) -> String {
    let missing = 6 - parts_of(text, true).len();
    if text.contains(['*', '?']) { text.to_owned() } else { format!("{text}{}", ":*".repeat(missing)) }
}

fn in_network(address: &str, network: &str) -> bool {
    use std::net::IpAddr;
    let bits = |address: &str| match address.parse().ok()? {
        IpAddr::V4(address) => Some(format!("4{:032b}", address.to_bits())),
        IpAddr::V6(address) => Some(format!("6{:0128b}", address.to_bits())),
    };
    let (start, length) = network.split_once('/').unwrap_or((network, "128"));
    match (bits(address), bits(start), length.parse::<usize>()) {
        (Some(address), Some(start), Ok(length)) => {
            let length = (length + 1).min(start.len());
            address.get(..length) == start.get(..length)
        }
        _ => false,
    }
}

/// Milliseconds since 1970.
fn moment(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(seconds * 1000);
    }
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Some(full.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

#[derive(Clone, Copy, PartialEq)]
enum Symbol {
    Character(char),
    One,
    Any,
}

fn characters(text: &str) -> Vec<Symbol> {
    let symbol = |character| match character {
        '*' => Symbol::Any,
        '?' => Symbol::One,
        other => Symbol::Character(other),
    };
    text.chars().map(symbol).collect()
}

fn characters_of(text: &str) -> Vec<Symbol> {
    text.chars().map(Symbol::Character).collect()
}

/// The symbols of a text of a policy; none if a variable in it has no value.
fn expand(case: &Case, text: &str, variables: bool, wildcards: bool) -> Option<Vec<Symbol>> {
    let (mut symbols, mut rest) = (Vec::new(), text);
    while let Some(character) = rest.chars().next() {
        if let Some((taken, (key, default))) = variable(rest).filter(|_| variables) {
            match value_of(case, &key) {
                _ if ["*", "?", "$"].contains(&key.as_str()) => symbols.extend(characters_of(&key)),
                Value::String(value) => symbols.extend(characters_of(&value)),
                _ => symbols.extend(characters_of(&default?)),
            }
            rest = &rest[taken..];
            continue;
        }
        let symbol = match character {
            '*' if wildcards => Symbol::Any,
            '?' if wildcards => Symbol::One,
            other => Symbol::Character(other),
        };
        symbols.push(symbol);
        rest = &rest[character.len_utf8()..];
    }
    Some(symbols)
}

/// The length of the `${key}` or `${key, 'default'}` a text begins with, its key and its default. What is malformed is text.
fn variable(text: &str) -> Option<(usize, (String, Option<String>))> {
    let inside = text.strip_prefix("${")?;
    let (inside, _) = inside.split_once('}')?;
    let taken = inside.len() + 3;
    if ["*", "?", "$"].contains(&inside) {
        return Some((taken, (inside.to_owned(), None)));
    }
    let (key, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((key, default)) => {
            (key, Some(default.trim().strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'")))
        }
    };
    let is_key = key.contains(':') && !key.contains(['$', '{', '*', '?', '\'']);
    is_key.then(|| (taken, (key.trim().to_owned(), default)))
}

fn like(pattern: &[Symbol], text: &str) -> bool {
    // Row by row: which beginnings of the text the pattern so far matches.
    let text: Vec<char> = text.chars().collect();
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for symbol in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match symbol {
                Symbol::Any => row[at] || at > 0 && next[at - 1],
                Symbol::One => at > 0 && row[at - 1],
                Symbol::Character(character) => at > 0 && row[at - 1] && text[at - 1] == *character,
            };
        }
        row = next;
    }
    row[text.len()]
}

/// "Condition key names are not case-sensitive."
fn value_of(case: &Case, key: &str) -> Value {
    let context = case.0["context"].as_object().cloned().unwrap_or_default();
    let found = context.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map_or(Value::Null, |(_, value)| value)
}

fn some(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}

/// One, or a list of them.
fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.clone(),
        one => vec![one.clone()],
    }
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    list(value).iter().map(text).collect()
}

//! Cases made of bytes, so that a property test shrinks them and a fuzzer steers them: small alphabets, in which policies and
//! requests often meet.

use coffer_policy::OPERATORS;
use serde_json::{Map, Value, json};

use super::Case;

const ACCOUNT: &str = "123456789012";

const ACTIONS: [&str; 5] = ["s:Get", "S:getAll", "s:Put", "k:Get", "s:Gét"];
const ACTION_PATTERNS: [&str; 11] =
    ["*", "s:*", "s:G*", "S:GET", "*:Get", "s:?et", "k:*", "s:Get", "s:Put", "s:*t*l", "s:g??"];
const RESOURCES: [&str; 6] = [
    "arn:aws:s:r:123456789012:a",
    "arn:aws:s:r:123456789012:a/b",
    "arn:aws:s:r:123456789012:ab-é",
    "arn:aws:k:r:123456789012:a:b",
    "arn:aws:s:r:123456789012:*",
    "*",
];
const RESOURCE_PATTERNS: [&str; 23] = [
    "arn:aws:s:*:*:a/*",
    "arn:aws:*:*:*:b",
    "arn:*:*:*:*:a*",
    "arn:aws:s:${u:name, 'r'}:*:ab",
    "arn:aws:*:r:*:a?b",
    "*",
    "arn:aws:s:r:123456789012:a",
    "arn:aws:s:r:123456789012:a*",
    "arn:aws:s:r:123456789012:a/?",
    "arn:aws:s:r:123456789012:ab-?",
    "arn:aws:s:*:a",
    "arn:aws:s:*:*:*b*",
    "arn:*:a",
    "arn:aws:k",
    "arn:aws:s:r",
    "arn:aws:${u:name}",
    "arn:aws:s:r:123456789012:${u:name}",
    "arn:aws:s:r:123456789012:${u:none}",
    "arn:aws:s:r:123456789012:${u:none, 'a'}",
    "arn:aws:s:r:123456789012:${U:Star}",
    "arn:aws:s:r:123456789012:${*}",
    "arn:aws:s:r:123456789012:${u:list, 'a'}/b",
    "arn:aws:s:r:123456789012:${u:name",
];
const PRINCIPALS: [&str; 9] = [
    r#"{"type": "anonymous"}"#,
    r#"{"type": "root", "account": "123456789012"}"#,
    r#"{"type": "user", "account": "123456789012", "arn": "arn:aws:iam::123456789012:user/u", "unique_id": "AIDA000000000000000U"}"#,
    r#"{"type": "user", "account": "210987654321", "arn": "arn:aws:iam::210987654321:user/u"}"#,
    r#"{"type": "role session", "account": "123456789012", "arn": "arn:aws:sts::123456789012:assumed-role/r/s", "role_arn": "arn:aws:iam::123456789012:role/r", "unique_id": "AROA000000000000000R"}"#,
    r#"{"type": "role session", "account": "123456789012", "arn": "arn:aws:sts::123456789012:assumed-role/q/s", "role_arn": "arn:aws:iam::123456789012:role/q"}"#,
    r#"{"type": "federated user", "account": "123456789012", "arn": "arn:aws:sts::123456789012:federated-user/f"}"#,
    r#"{"type": "service", "name": "s.amazonaws.com"}"#,
    r#"{"type": "federated", "provider": "accounts.google.com"}"#,
];
const PRINCIPAL_NAMES: [(&str, &str); 12] = [
    ("AWS", "*"),
    ("AWS", "123456789012"),
    ("AWS", "arn:aws:iam::123456789012:root"),
    ("AWS", "210987654321"),
    ("AWS", "arn:aws:iam::123456789012:user/u"),
    ("AWS", "arn:aws:sts::123456789012:assumed-role/r/s"),
    ("AWS", "arn:aws:iam::123456789012:role/r"),
    ("AWS", "AROA000000000000000R"),
    ("AWS", "AIDA000000000000000U"),
    ("Service", "s.amazonaws.com"),
    ("Federated", "accounts.google.com"),
    ("CanonicalUser", "79a5"),
];
/// Keys that a request may have, with what it has of each.
const CONTEXT: [(&str, &[&str]); 11] = [
    ("u:name", &["a", "b", "ab-é", "A", ""]),
    ("u:star", &["*"]),
    ("u:other", &["a", "É", "é"]),
    ("u:num", &["1", "2", "2.50", "-1", "x"]),
    ("u:date", &["2026-11-22T17:00:00Z", "2026-11-22", "1795366800", "x"]),
    ("u:flag", &["true", "FALSE", "x"]),
    ("u:bytes", &["QUJD", "QQ==", ""]),
    ("u:ip", &["203.0.113.9", "203.0.114.9", "2001:db8::1", "x"]),
    ("u:arn", &["arn:aws:s:r:123456789012:a/b", "arn:aws:s:r:123456789012:a:b", "a"]),
    ("u:list", &[]),
    ("u:nothing", &[]),
];
const TEXTS: [&str; 9] = ["a", "b", "É", "a*", "?", "${u:name}", "${u:none}", "${u:none, 'é'}", "${?}"];
const NUMBERS: [&str; 4] = ["1", "2.5", "02", "-1.0"];
const DATES: [&str; 4] = ["2026-11-22T18:00:00+01:00", "2026-11-22", "1795366801", "2026-11-22T16:59:59.5Z"];
const NETWORKS: [&str; 5] = ["203.0.113.0/24", "203.0.113.9", "0.0.0.0/0", "2001:db8::/32", "::/0"];
const ARNS: [&str; 6] = [
    "arn:aws:s:r:123456789012:a/*",
    "arn:aws:s:*:a/b",
    "*",
    "arn:aws:*:*:*:${u:name}*",
    "arn:aws:s",
    "arn:aws:${u:none}:r:*:*",
];

/// A case made of bytes; when they end, everything is the first of its kind.
pub fn case(bytes: &[u8]) -> Case {
    let mut choices = Choices(bytes);
    let pick = &mut choices;
    let mut case = Map::new();
    case.insert("action".into(), json!(pick.one(&ACTIONS)));
    case.insert("resource".into(), json!(pick.one(&RESOURCES)));
    let principal: Value = serde_json::from_str(pick.one(&PRINCIPALS)).unwrap_or_default();
    let account = principal["account"].as_str().unwrap_or(ACCOUNT).to_owned();
    case.insert("principal".into(), principal);
    case.insert("other_account".into(), json!(account != ACCOUNT || pick.below(8) == 7));
    case.insert("context".into(), context(pick));
    case.insert("identity".into(), documents(pick, 3));
    match pick.below(4) {
        0 | 1 => {}
        required => {
            case.insert("resource_policy".into(), document(pick, true));
            case.insert("resource_policy_required".into(), json!(required == 3));
        }
    }
    if pick.below(4) == 3 {
        case.insert("boundary".into(), document(pick, false));
    }
    if pick.below(4) == 3 {
        case.insert("session".into(), documents(pick, 2));
    }
    if pick.below(6) == 5 {
        let levels = (0..=pick.below(2)).map(|_| documents(pick, 2)).collect();
        case.insert("service_control".into(), Value::Array(levels));
    }
    Case(Value::Object(case))
}

struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                usize::from(*first) % bound
            }
            None => 0,
        }
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

fn context(pick: &mut Choices<'_>) -> Value {
    let mut context = Map::new();
    for (key, values) in CONTEXT {
        if pick.below(3) == 0 {
            continue;
        }
        let value = match key {
            "u:list" => json!((0..=pick.below(3)).map(|_| pick.one(&["a", "b", "É"])).collect::<Vec<_>>()),
            "u:nothing" => json!([]),
            _ => json!(pick.one(values)),
        };
        context.insert(key.to_owned(), value);
    }
    Value::Object(context)
}

fn documents(pick: &mut Choices<'_>, most: usize) -> Value {
    Value::Array((0..pick.below(most + 1)).map(|_| document(pick, false)).collect())
}

fn document(pick: &mut Choices<'_>, names_principals: bool) -> Value {
    let statements: Vec<Value> = (0..=pick.below(3)).map(|_| statement(pick, names_principals)).collect();
    let mut document = Map::new();
    match pick.below(4) {
        0 => {}
        1 => {
            document.insert("Version".into(), json!("2008-10-17"));
        }
        _ => {
            document.insert("Version".into(), json!("2012-10-17"));
        }
    }
    document.insert("Statement".into(), one_or_list(pick, statements));
    Value::Object(document)
}

fn statement(pick: &mut Choices<'_>, names_principals: bool) -> Value {
    let mut statement = Map::new();
    statement.insert("Effect".into(), json!(if pick.below(4) == 3 { "Deny" } else { "Allow" }));
    let mut texts = |pick: &mut Choices<'_>, name: &str, all: &[&str]| {
        let element = if pick.below(6) == 5 { format!("Not{name}") } else { name.to_owned() };
        let texts = (0..=pick.below(2)).map(|_| json!(pick.one(all))).collect();
        statement.insert(element, one_or_list(pick, texts));
    };
    texts(pick, "Action", &ACTION_PATTERNS);
    if !names_principals || pick.below(2) == 1 {
        texts(pick, "Resource", &RESOURCE_PATTERNS);
    }
    if names_principals {
        let element = if pick.below(5) == 4 { "NotPrincipal" } else { "Principal" };
        statement.insert(element.into(), principals(pick));
    }
    if pick.below(3) == 2 {
        statement.insert("Condition".into(), conditions(pick));
    }
    Value::Object(statement)
}

fn principals(pick: &mut Choices<'_>) -> Value {
    if pick.below(6) == 5 {
        return json!("*");
    }
    let mut principals: Map<String, Value> = Map::new();
    for _ in 0..=pick.below(2) {
        let (kind, name) = pick.one(&PRINCIPAL_NAMES);
        let names = principals.entry(kind).or_insert_with(|| json!([]));
        names.as_array_mut().into_iter().for_each(|names| names.push(json!(name)));
    }
    Value::Object(principals)
}

fn conditions(pick: &mut Choices<'_>) -> Value {
    let mut conditions = Map::new();
    for _ in 0..=pick.below(2) {
        let (name, ..) = pick.one(&OPERATORS);
        let (values, key): (&[&str], &[&str]) = match name {
            "Null" => (&["true", "FALSE"], &["u:name", "u:none", "u:list", "u:nothing"]),
            "Bool" => (&["true", "False"], &["u:flag", "u:none"]),
            "BinaryEquals" => (&["QUJD", "QQ", "QQ=="], &["u:bytes", "u:none"]),
            "IpAddress" | "NotIpAddress" => (&NETWORKS, &["u:ip", "u:none"]),
            name if name.starts_with("Numeric") => (&NUMBERS, &["u:num", "u:none"]),
            name if name.starts_with("Date") => (&DATES, &["u:date", "u:none"]),
            name if name.starts_with("Arn") => (&ARNS, &["u:arn", "u:name", "u:none"]),
            _ => (&TEXTS, &["u:name", "U:Other", "u:list", "u:none", "u:star", "u:nothing"]),
        };
        let prefix = pick.one(&["", "", "ForAllValues:", "ForAnyValue:"]);
        let suffix = if name != "Null" && pick.below(4) == 3 { "IfExists" } else { "" };
        let wanted: Vec<Value> = (0..=pick.below(2)).map(|_| json!(pick.one(values))).collect();
        let mut keys = Map::new();
        keys.insert(pick.one(key).to_owned(), one_or_list(pick, wanted));
        conditions.insert(format!("{prefix}{name}{suffix}"), Value::Object(keys));
    }
    Value::Object(conditions)
}

/// What is one may stand alone.
fn one_or_list(pick: &mut Choices<'_>, values: Vec<Value>) -> Value {
    match values.as_slice() {
        [one] if pick.below(2) == 0 => one.clone(),
        _ => Value::Array(values),
    }
}

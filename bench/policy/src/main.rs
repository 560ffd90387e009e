//! How long one decision takes, beside other crates that evaluate IAM policies: the median of many batches, each engine with what it
//! can prepare prepared. Prints a table. `cargo run --release`, on a machine that does nothing else.

use std::hint::black_box;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use coffer_policy as coffer;
use scratchstack_aspen as aspen;
use scratchstack_aws_principal as principal;

/// What fits into one inline policy.
const STATEMENTS_PER_DOCUMENT: usize = 35;
const ACTION: &str = "GetSecretValue";

/// A policy of some statements, and a request.
struct Case {
    what: &'static str,
    statements: Vec<String>,
    resource: String,
    is_allowed: bool,
}

fn main() {
    println!("| case | coffer-policy | iam-rs | scratchstack-aspen |");
    println!("|---|---|---|---|");
    for case in cases() {
        let ours = ours(&case);
        let iam_rs = iam_rs(&case);
        let aspen = aspen(&case);
        println!("| {} | {} | {} | {} |", case.what, shown(Ok(ours)), shown(iam_rs), shown(aspen));
    }
}

fn cases() -> Vec<Case> {
    let secret = |name: usize, suffix: &str| {
        format!(
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:team/application-{name:04}/database{suffix}"
        )
    };
    let reader = |name: usize, condition: &str| {
        let resource = secret(name, "-??????");
        format!(
            r#"{{"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], "Resource": "{resource}"{condition}}}"#
        )
    };
    let readers = |count: usize| (0..count).map(|name| reader(name, "")).collect();
    let others = |count: usize| {
        let other = |name: usize| {
            format!(
                r#"{{"Effect": "Allow", "Action": "s3:GetObject{name}", "Resource": "arn:aws:s3:::bucket-{name}/*"}}"#
            )
        };
        let mut statements: Vec<String> = (1..count).map(other).collect();
        statements.push(reader(0, ""));
        statements
    };
    let condition = r#", "Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}"#;
    let conditional = (0..100).map(|name| reader(name, condition)).collect();
    let wide = (0..100).map(|name| {
        format!(
            r#"{{"Effect": "Allow", "Action": "secretsmanager:Get*", "Resource": "arn:aws:secretsmanager:*:*:secret:*/application-{name:04}/*"}}"#
        )
    });
    let anywhere = (0..100).map(|name| {
        format!(
            r#"{{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "arn:aws:secretsmanager:*:*:secret:team/application-{name:04}/*"}}"#
        )
    });
    let case = |what, statements, name: usize, is_allowed| Case {
        what,
        statements,
        resource: secret(name, "-AbCdEf"),
        is_allowed,
    };
    vec![
        case("1 statement, allowed", readers(1), 0, true),
        case("10 statements, allowed by the last", readers(10), 9, true),
        case("100 statements, allowed by the last", readers(100), 99, true),
        case("100 statements, allowed by none", readers(100), 100, false),
        case("100 statements with a condition, allowed by the last", conditional, 99, true),
        case("100 statements for any region and account, allowed by the last", anywhere.collect(), 99, true),
        case("100 statements that differ after a star only, allowed by the last", wide.collect(), 99, true),
        case("99 statements of another service, then one that allows", others(100), 0, true),
        case("400 statements, allowed by the last", readers(400), 399, true),
    ]
}

fn document(statements: &[String]) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(","))
}

fn ours(case: &Case) -> f64 {
    use coffer::{ContextMap, Document, DocumentKind, Policies, Policy, Principal, Request, evaluate};
    // Spread over as many documents as AWS's limits of size make of them.
    let policies: Vec<Arc<Policy>> = case
        .statements
        .chunks(STATEMENTS_PER_DOCUMENT)
        .map(|statements| {
            let document = Document::parse(&document(statements), DocumentKind::Inline);
            Arc::new(Policy::compile("p", &document.expect("a policy")))
        })
        .collect();
    let mut context = ContextMap::new();
    context.set("aws:RequestedRegion", "us-east-1");
    let request = Request {
        principal: Principal::User {
            arn: "arn:aws:iam::123456789012:user/alice",
            account: "123456789012",
            unique_id: "",
        },
        action: &format!("secretsmanager:{ACTION}"),
        resource: &case.resource,
        context: &context,
    };
    let policies = Policies { identity: &policies, ..Policies::default() };
    assert_eq!(evaluate(&policies, &request).is_allowed(), case.is_allowed, "{}", case.what);
    median(201, 2_000, || evaluate(black_box(&policies), black_box(&request)).is_allowed())
}

fn iam_rs(case: &Case) -> Result<f64, String> {
    use iam_rs::{
        Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal, PrincipalId,
    };
    let policy = IAMPolicy::from_json(&document(&case.statements)).map_err(|error| error.to_string())?;
    let evaluator = PolicyEvaluator::with_policies(vec![policy]);
    let mut context = Context::new();
    context.insert("aws:RequestedRegion".into(), ContextValue::String("us-east-1".into()));
    let caller = Principal::Aws(PrincipalId::String("arn:aws:iam::123456789012:user/alice".into()));
    let resource = Arn::parse(&case.resource).map_err(|error| error.to_string())?;
    let request = IAMRequest::new_with_context(caller, format!("secretsmanager:{ACTION}"), resource, context);
    let allows = |evaluator: &PolicyEvaluator, request: &IAMRequest| {
        evaluator.evaluate(request).map(|result| result.decision == Decision::Allow)
    };
    match allows(&evaluator, &request) {
        Ok(is_allowed) if is_allowed == case.is_allowed => {}
        other => return Err(format!("answers {other:?}")),
    }
    Ok(median(51, 20, || allows(black_box(&evaluator), black_box(&request)).unwrap_or_default()))
}

fn aspen(case: &Case) -> Result<f64, String> {
    use aspen::{Context, Decision, Policy};
    use principal::{Principal, PrincipalIdentity, SessionData, SessionValue, User};
    let policy = Policy::from_str(&document(&case.statements)).map_err(|error| error.to_string())?;
    let user = User::new("aws", "123456789012", "/", "alice").map_err(|error| error.to_string())?;
    let mut session = SessionData::new();
    session.insert("aws:RequestedRegion", SessionValue::String("us-east-1".into()));
    let resource = scratchstack_arn::Arn::from_str(&case.resource).map_err(|error| error.to_string())?;
    let context = Context::builder()
        .service("secretsmanager")
        .api(ACTION)
        .actor(Principal::from(vec![PrincipalIdentity::from(user)]))
        .session_data(session)
        .resources(vec![resource])
        .build()
        .map_err(|error| error.to_string())?;
    let allows = |policy: &Policy, context: &Context| {
        policy.evaluate(context).map(|decision| decision == Decision::Allow)
    };
    match allows(&policy, &context) {
        Ok(is_allowed) if is_allowed == case.is_allowed => {}
        other => return Err(format!("answers {other:?}")),
    }
    Ok(median(9, 1, || allows(black_box(&policy), black_box(&context)).unwrap_or_default()))
}

/// Nanoseconds of one call: the median over batches.
fn median(batches: usize, calls: u32, mut call: impl FnMut() -> bool) -> f64 {
    let mut times: Vec<f64> = (0..batches)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..calls {
                black_box(call());
            }
            started.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[batches / 2]
}

fn shown(time: Result<f64, String>) -> String {
    match time {
        Ok(time) if time < 1_000.0 => format!("{time:.0} ns"),
        Ok(time) => format!("{:.1} µs", time / 1_000.0),
        Err(error) => error,
    }
}

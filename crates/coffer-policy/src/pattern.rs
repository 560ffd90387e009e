//! Patterns of the policy language: `*` for any run of characters, `?` for one, `${…}` for a value of the request.
//!
//! Pure. Invariants: what a variable stands for is compared character by character, so that no value of a request can act as
//! a wildcard; matching has no recursion and takes no more steps than pattern × text, and no more than pattern + text where no
//! `?` stands between two stars.

use std::borrow::Cow;

use crate::context::{Context, Values};

/// What a pattern is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece<'a> {
    Text(Cow<'a, str>),
    /// `?`
    One,
    /// `*`
    Star,
    /// `${key}` or `${key, 'default'}`; the key in lower case.
    Variable {
        key: Box<str>,
        default: Option<Box<str>>,
    },
}

/// Which characters of a pattern's text mean more than themselves.
#[derive(Clone, Copy)]
pub(crate) struct Syntax {
    pub(crate) wildcards: bool,
    pub(crate) variables: bool,
}

/// A pattern, read once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern {
    pieces: Box<[Piece<'static>]>,
    has_variables: bool,
}

impl Pattern {
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Self {
        let mut pieces: Vec<Piece<'static>> = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if syntax.variables
                && let Some((piece, after)) = read_variable(rest)
            {
                match piece {
                    Piece::Text(text) => push_text(&mut pieces, &text),
                    Piece::One | Piece::Star | Piece::Variable { .. } => pieces.push(piece),
                }
                rest = after;
                continue;
            }
            match character {
                // Two stars are one.
                '*' if syntax.wildcards && pieces.last() == Some(&Piece::Star) => {}
                '*' if syntax.wildcards => pieces.push(Piece::Star),
                '?' if syntax.wildcards => pieces.push(Piece::One),
                _ => push_text(&mut pieces, character.encode_utf8(&mut [0; 4])),
            }
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
        let has_variables = pieces.iter().any(|piece| matches!(piece, Piece::Variable { .. }));
        Self { pieces: pieces.into(), has_variables }
    }

    /// Whether the whole of `text` matches. A variable that has no value, or many, matches nothing.
    pub(crate) fn matches(&self, text: &str, context: &dyn Context) -> bool {
        if !self.has_variables {
            return matches(&self.pieces, text);
        }
        self.expand(context).is_some_and(|pieces| matches(&pieces, text))
    }

    /// Whether each of its variables has a value.
    pub(crate) fn is_resolved(&self, context: &dyn Context) -> bool {
        !self.has_variables || self.expand(context).is_some()
    }

    /// The text it stands for, if it has no wildcards.
    pub(crate) fn text(&self, context: &dyn Context) -> Option<Cow<'_, str>> {
        match self.pieces.as_ref() {
            [] => Some(Cow::Borrowed("")),
            [Piece::Text(text)] => Some(Cow::Borrowed(text)),
            _ => {
                let mut whole = String::new();
                for piece in self.expand(context)? {
                    match piece {
                        Piece::Text(text) => whole.push_str(&text),
                        Piece::One | Piece::Star | Piece::Variable { .. } => return None,
                    }
                }
                Some(Cow::Owned(whole))
            }
        }
    }

    fn expand<'a>(&'a self, context: &'a dyn Context) -> Option<Vec<Piece<'a>>> {
        let expand = |piece: &'a Piece<'static>| match piece {
            Piece::Text(text) => Some(Piece::Text(Cow::Borrowed(text.as_ref()))),
            Piece::One => Some(Piece::One),
            Piece::Star => Some(Piece::Star),
            Piece::Variable { key, default } => match context.get(key) {
                Values::One(value) => Some(Piece::Text(value)),
                Values::Absent | Values::Many(_) => {
                    default.as_deref().map(|text| Piece::Text(Cow::Borrowed(text)))
                }
            },
        };
        self.pieces.iter().map(expand).collect()
    }

    /// The characters that everything it matches begins with.
    pub(crate) fn literal_prefix(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            Some(Piece::One | Piece::Star | Piece::Variable { .. }) | None => "",
        }
    }

    /// The literal characters after so many of its own colons, if those come after a wildcard or a variable: whatever it matches has
    /// them after as many colons or more.
    pub(crate) fn literal_after_colons(&self, count: usize) -> Option<&str> {
        let mut remaining = count;
        for (at, piece) in self.pieces.iter().enumerate() {
            let Piece::Text(text) = piece else { continue };
            let colons = text.matches(':').count();
            if colons >= remaining {
                let (last, _) = text.match_indices(':').nth(remaining.checked_sub(1)?)?;
                return if at == 0 { None } else { text.get(last + 1..) };
            }
            remaining -= colons;
        }
        None
    }

    /// Its literal texts: whatever it matches has each of them in it.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_ref()),
            Piece::One | Piece::Star | Piece::Variable { .. } => None,
        })
    }

    /// Its text, if it matches nothing else.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.pieces.as_ref() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The keys of its variables, in lower case.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable { key, .. } => Some(key.as_ref()),
            Piece::Text(_) | Piece::One | Piece::Star => None,
        })
    }
}

fn push_text(pieces: &mut Vec<Piece<'static>>, more: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.to_mut().push_str(more),
        Some(Piece::One | Piece::Star | Piece::Variable { .. }) | None => {
            pieces.push(Piece::Text(Cow::Owned(more.to_owned())))
        }
    }
}

/// Reads `${…}` at the beginning of a text: a variable, or one of the escapes `${*}`, `${?}`, `${$}`. What is neither is text
/// like any other.
fn read_variable(text: &str) -> Option<(Piece<'static>, &str)> {
    let inside = text.strip_prefix("${")?;
    for escape in ["*", "?", "$"] {
        if let Some(after) = inside.strip_prefix(escape).and_then(|rest| rest.strip_prefix('}')) {
            return Some((Piece::Text(Cow::Borrowed(escape)), after));
        }
    }
    let end = inside.find([',', '}', '{', '$', '\'', '*', '?'])?;
    let (key, rest) = inside.split_at_checked(end)?;
    let key = key.trim();
    if !key.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty()) {
        return None;
    }
    let key = key.to_ascii_lowercase().into_boxed_str();
    if let Some(after) = rest.strip_prefix('}') {
        return Some((Piece::Variable { key, default: None }, after));
    }
    let mut rest = rest.strip_prefix(',')?.trim_start().strip_prefix('\'')?;
    let mut default = String::new();
    loop {
        let (before, after) = rest.split_once('\'')?;
        default.push_str(before);
        // Two quotes are one that belongs to the text.
        match after.strip_prefix('\'') {
            Some(after) => {
                default.push('\'');
                rest = after;
            }
            None => {
                let after = after.trim_start().strip_prefix('}')?;
                return Some((Piece::Variable { key, default: Some(default.into()) }, after));
            }
        }
    }
}

/// Whether a text begins with `${…}` that is a variable or an escape.
pub(crate) fn begins_with_variable(text: &str) -> bool {
    read_variable(text).is_some()
}

/// The keys of the variables in a text, as they are spelled.
pub(crate) fn variables(text: &str) -> Vec<&str> {
    let (mut keys, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let here = rest.get(at..).unwrap_or_default();
        let Some((piece, after)) = read_variable(here) else {
            rest = here.get(2..).unwrap_or_default();
            continue;
        };
        if let Piece::Variable { .. } = piece {
            let inside = here.get(2..).unwrap_or_default();
            keys.extend(inside.split([',', '}']).next().map(str::trim));
        }
        rest = after;
    }
    keys
}

/// Whether an action, which may have wildcards, can be one of a service.
pub(crate) fn is_of_service(action: &str, service: &str) -> bool {
    let prefix = action.split_once(':').map_or(action, |(prefix, _)| prefix).to_ascii_lowercase();
    let syntax = Syntax { wildcards: true, variables: false };
    Pattern::parse(&prefix, syntax).matches(&service.to_ascii_lowercase(), &())
}

fn matches(pieces: &[Piece<'_>], text: &str) -> bool {
    match pieces {
        [Piece::Star] => return true,
        [Piece::Text(whole)] => return text == whole,
        [Piece::Text(start), Piece::Star] => return text.starts_with(start.as_ref()),
        _ => {}
    }
    let mut runs = pieces.split(|piece| matches!(piece, Piece::Star));
    // The first run stands at the beginning.
    let Some(mut rest) = runs.next().and_then(|first| strip(first, text)) else {
        return false;
    };
    let Some(mut run) = runs.next() else {
        return rest.is_empty();
    };
    // The last stands at the end, which is one place to look at and not many.
    let Some(last) = runs.next_back() else {
        return strip_end(run, rest).is_some();
    };
    match strip_end(last, rest) {
        Some(before) => rest = before,
        None => return false,
    }
    // Of those between two stars the leftmost place is the best: it leaves most to the rest.
    loop {
        match find(run, rest) {
            Some(after) => rest = after,
            None => return false,
        }
        match runs.next() {
            Some(next) => run = next,
            None => return true,
        }
    }
}

/// The text after a run that stands at its beginning.
fn strip<'t>(run: &[Piece<'_>], text: &'t str) -> Option<&'t str> {
    let mut rest = text;
    for piece in run {
        match piece {
            Piece::Text(text) => rest = rest.strip_prefix(text.as_ref())?,
            Piece::One => {
                let mut characters = rest.chars();
                characters.next()?;
                rest = characters.as_str();
            }
            Piece::Star | Piece::Variable { .. } => return None,
        }
    }
    Some(rest)
}

/// The text after the leftmost place of a run.
fn find<'t>(run: &[Piece<'_>], text: &'t str) -> Option<&'t str> {
    if let [Piece::Text(wanted)] = run {
        return find_text(wanted, text);
    }
    // It begins where its first byte is, if that is known. No character has the first byte of another in its middle.
    let first = match run.first() {
        Some(Piece::Text(text)) => text.as_bytes().first(),
        Some(Piece::One | Piece::Star | Piece::Variable { .. }) | None => None,
    };
    let mut from = text;
    loop {
        if let Some(first) = first {
            let at = from.as_bytes().iter().position(|byte| byte == first)?;
            from = from.get(at..)?;
        }
        if let Some(after) = strip(run, from) {
            return Some(after);
        }
        let mut characters = from.chars();
        characters.next()?;
        from = characters.as_str();
    }
}

/// The text after the leftmost place of another. A short one is looked for byte by byte, which takes less time than to prepare the
/// search that is linear for all.
fn find_text<'t>(wanted: &str, text: &'t str) -> Option<&'t str> {
    const SHORT: usize = 64;
    let first = wanted.as_bytes().first()?;
    if wanted.len() > SHORT {
        return text.split_once(wanted).map(|(_, after)| after);
    }
    let (mut rest, mut passed) = (text.as_bytes(), 0);
    loop {
        let at = rest.iter().position(|byte| byte == first)?;
        let here = rest.get(at..)?;
        if here.starts_with(wanted.as_bytes()) {
            return text.get(passed + at + wanted.len()..);
        }
        rest = here.get(1..)?;
        passed += at + 1;
    }
}

/// The text before a run that stands at its end.
fn strip_end<'t>(run: &[Piece<'_>], text: &'t str) -> Option<&'t str> {
    let mut rest = text;
    for piece in run.iter().rev() {
        match piece {
            Piece::Text(text) => rest = rest.strip_suffix(text.as_ref())?,
            Piece::One => {
                let mut characters = rest.chars();
                characters.next_back()?;
                rest = characters.as_str();
            }
            Piece::Star | Piece::Variable { .. } => return None,
        }
    }
    Some(rest)
}

/// The six parts of an ARN as it is written, or fewer; colons within `${…}` are part of a part.
pub(crate) fn split_arn(text: &str) -> Vec<&str> {
    let (mut parts, mut rest, mut at) = (Vec::with_capacity(6), text, 0);
    while parts.len() < 5 {
        let Some(remaining) = rest.get(at..) else { break };
        match remaining.find(['$', ':']) {
            None => break,
            Some(found) => {
                let here = remaining.get(found..).unwrap_or_default();
                if here.starts_with(':') {
                    let (part, after) = rest.split_at_checked(at + found).unwrap_or((rest, ""));
                    parts.push(part);
                    rest = after.get(1..).unwrap_or_default();
                    at = 0;
                } else {
                    let after = read_variable(here).map_or(here.len() - 1, |(_, after)| after.len());
                    at += found + (here.len() - after);
                }
            }
        }
    }
    parts.push(rest);
    parts
}

/// The pattern of `ArnLike`: each of an ARN's six parts has its own, so that no wildcard reaches over a colon, but for those of
/// the last part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ArnPattern {
    /// None for `*`, which stands for every ARN.
    parts: Option<Box<[Pattern]>>,
}

impl ArnPattern {
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Self {
        if text == "*" {
            return Self { parts: None };
        }
        let parts = if syntax.variables { split_arn(text) } else { text.splitn(6, ':').collect() };
        Self { parts: Some(parts.into_iter().map(|part| Pattern::parse(part, syntax)).collect()) }
    }

    pub(crate) fn matches(&self, arn: &str, context: &dyn Context) -> bool {
        let count = arn.splitn(6, ':').count();
        if count != 6 || !arn.starts_with("arn:") {
            return false;
        }
        match &self.parts {
            None => true,
            Some(parts) => {
                parts.len() == count
                    && arn.splitn(6, ':').zip(parts).all(|(part, pattern)| pattern.matches(part, context))
            }
        }
    }

    /// Whether each of its variables has a value.
    pub(crate) fn is_resolved(&self, context: &dyn Context) -> bool {
        self.parts.iter().flatten().all(|part| part.is_resolved(context))
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|parts| parts.iter().flat_map(Pattern::variables))
    }
}

/// A pattern of `Resource`: one over the whole text, since a `*` at the end of a part reaches over colons. An ARN of fewer than six
/// parts and without wildcards stands for all that begin so, as AWS completes it.
pub(crate) fn resource(text: &str, variables: bool) -> Pattern {
    let syntax = Syntax { wildcards: true, variables };
    let parts = split_arn(text).len();
    if text == "*" || parts >= 6 || text.contains(['*', '?']) {
        return Pattern::parse(text, syntax);
    }
    let completed = format!("{text}{}", ":*".repeat(6 - parts));
    Pattern::parse(&completed, syntax)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::context::ContextMap;

    const ALL: Syntax = Syntax { wildcards: true, variables: true };

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((&'*', rest)), _) => {
                naive(rest, text) || text.split_first().is_some_and(|(_, after)| naive(pattern, after))
            }
            (Some((&'?', rest)), Some((_, after))) => naive(rest, after),
            (Some((a, rest)), Some((b, after))) => a == b && naive(rest, after),
            _ => false,
        }
    }

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a*a", "a", false),
            ("a?c", "aéc", true),
            ("secret:app-??????", "secret:app-AbCdEf", true),
            ("secret:app-??????", "secret:app-AbCdE", false),
            ("**", "x", true),
            ("*?", "", false),
        ] {
            assert_eq!(Pattern::parse(pattern, ALL).matches(text, &()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn variables_stand_for_values_of_the_request_and_never_for_wildcards() {
        let mut context = ContextMap::new();
        context.set("aws:username", "alice");
        context.set("aws:PrincipalTag/team", "*");
        context.set_list("aws:TagKeys", ["a"]);
        for (pattern, text, expected) in [
            ("app/${aws:username}/*", "app/alice/db", true),
            ("app/${AWS:UserName}/*", "app/alice/db", true),
            ("app/${aws:username}/*", "app/bob/db", false),
            ("${aws:principaltag/team}", "red", false),
            ("${aws:principaltag/team}", "*", true),
            ("${aws:userid}", "", false),
            ("${aws:userid, 'none'}", "none", true),
            ("${aws:userid,'it''s'}", "it's", true),
            ("${ aws:username , 'none' }", "alice", true),
            ("${aws:userid, '*'}", "x", false),
            ("${aws:TagKeys}", "a", false),
            ("${*}${?}${$}", "*?$", true),
            ("${*}", "x", false),
            ("${aws:username", "${aws:username", true),
            ("${name}", "${name}", true),
            ("$", "$", true),
            ("${aws:userid, 'x}", "${aws:userid, 'x}", true),
        ] {
            assert_eq!(Pattern::parse(pattern, ALL).matches(text, &context), expected, "{pattern} {text}");
        }
        let old = Pattern::parse("${aws:username}", Syntax { variables: false, ..ALL });
        assert!(old.matches("${aws:username}", &context) && !old.matches("alice", &context));
    }

    #[test]
    fn the_parts_of_an_arn() {
        for (text, parts) in [
            ("arn:aws:s3:::b/k:x", vec!["arn", "aws", "s3", "", "", "b/k:x"]),
            (
                "arn:aws:iam::1:user/${aws:username}",
                vec!["arn", "aws", "iam", "", "1", "user/${aws:username}"],
            ),
            ("arn:${aws:x}:b", vec!["arn", "${aws:x}", "b"]),
            ("arn:${x:b", vec!["arn", "${x", "b"]),
            ("", vec![""]),
        ] {
            assert_eq!(split_arn(text), parts, "{text}");
        }
    }

    #[test]
    fn arn_like_goes_part_by_part_and_a_resource_does_not() {
        let secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf";
        for (pattern, like, resource_matches) in [
            ("arn:aws:secretsmanager:*:*:secret:app/*", true, true),
            ("arn:aws:secretsmanager:*:secret:app/*", false, true),
            ("arn:*:secret:app/*", false, true),
            ("*", true, true),
            ("arn:aws:secretsmanager", false, true),
            ("arn:aws:kms", false, false),
            ("arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-??????", true, true),
            ("arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db", false, false),
        ] {
            assert_eq!(ArnPattern::parse(pattern, ALL).matches(secret, &()), like, "{pattern}");
            assert_eq!(resource(pattern, true).matches(secret, &()), resource_matches, "{pattern}");
        }
        assert!(!ArnPattern::parse("*", ALL).matches("app/db", &()), "no ARN");
    }

    #[test]
    fn a_hostile_pattern_takes_linear_time() {
        let pattern = Pattern::parse(&"*a".repeat(3_000), ALL);
        assert!(!pattern.matches(&"b".repeat(100_000), &()));
        let pattern = Pattern::parse(&format!("*{}b", "a".repeat(3_000)), ALL);
        assert!(!pattern.matches(&"a".repeat(100_000), &()));
        let pattern = Pattern::parse(&format!("*{}b*", "a".repeat(3_000)), ALL);
        assert!(!pattern.matches(&"a".repeat(100_000), &()));
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_matcher(pattern in "[ab*?é]{0,8}", text in "[abé]{0,8}") {
            let expected = naive(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::parse(&pattern, ALL).matches(&text, &()), expected);
        }

        #[test]
        fn any_text_is_a_pattern(text in "[$\\{\\}*?:,' a]{0,24}") {
            let pattern = Pattern::parse(&text, ALL);
            pattern.matches(&text, &());
            prop_assert_eq!(split_arn(&text).join(":"), text);
        }
    }
}

//! Patterns of the policy language: `*` for any run of characters, `?` for one.

use serde::{Deserialize, Serialize};

/// A pattern over actions or resources.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern as written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// `*`.
    pub fn any() -> Self {
        Self::new("*")
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes(), |a, b| a == b)
    }

    /// Whether the whole of `text` matches, whatever the case of its ASCII letters.
    pub fn matches_ignoring_case(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes(), |a, b| a.eq_ignore_ascii_case(&b))
    }
}

/// Matches greedily and goes back to the last `*` only, so that the time is at most pattern × text, without
/// recursion. `?` stands for one character, also one of several bytes.
fn glob(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match pattern.get(p) {
            // Nothing stands in the way of the rest.
            Some(b'*') if p + 1 == pattern.len() => return true,
            Some(b'*') => {
                resume = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                t = next_character(text, t);
            }
            Some(&expected) if same(expected, byte) => {
                p += 1;
                t += 1;
            }
            _ => match resume {
                Some((after_star, from)) => {
                    p = after_star;
                    t = next_character(text, from);
                    resume = Some((after_star, t));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

fn next_character(text: &[u8], at: usize) -> usize {
    let continuation = text.iter().skip(at + 1).take_while(|&&byte| byte & 0xc0 == 0x80).count();
    at + 1 + continuation
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            ("a?c", "aéc", true),
            ("secret:app-??????", "secret:app-AbCdEf", true),
            ("secret:app-??????", "secret:app-AbCdE", false),
            ("**", "x", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
        assert!(Pattern::new("S:GET*").matches_ignoring_case("s:GetSecretValue"));
    }

    #[test]
    fn a_hostile_pattern_takes_linear_steps_back() {
        let pattern = Pattern::new("*a".repeat(200));
        assert!(!pattern.matches(&"a".repeat(20_000).replace("aa", "ab").replace('a', "b")));
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_matcher(pattern in "[ab*?é]{0,8}", text in "[abé]{0,8}") {
            let expected = naive(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::new(pattern).matches(&text), expected);
        }
    }
}

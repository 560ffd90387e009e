//! Words like one that there is not: what somebody may have meant.
//!
//! Pure.

/// Most words that are told.
const TOLD_MAX: usize = 3;

/// `did you mean …`, if any name is like it.
pub fn did_you_mean<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near: Vec<String> = near(name, names).into_iter().map(|name| format!("`{name}`")).collect();
    (!near.is_empty()).then(|| format!("did you mean {}?", near.join(" or ")))
}

/// Those of the names that are like one, the nearest first.
pub fn near<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', '.', '/'], "");
    let wanted = plain(name);
    let last = |text: &str| text.rsplit('/').next().unwrap_or(text).to_lowercase();
    let allowed = (wanted.chars().count() / 4).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter(|other| *other != name)
        .filter_map(|other| {
            let distance = distance(&wanted, &plain(other));
            // The same name in another folder, or written without its folder.
            let is_same_last = last(name).chars().count() > 2 && last(name) == last(other);
            (distance <= allowed || is_same_last).then_some((distance, other))
        })
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(TOLD_MAX).map(|(_, name)| name).collect()
}

/// How many characters are to be changed, put in, left out or swapped with the next.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: [Vec<usize>; 3] = [Vec::new(), Vec::new(), (0..=other.len()).collect()];
    for (at, character) in one.iter().enumerate() {
        let [_, before, last] = rows;
        let mut row = vec![at + 1];
        for (place, candidate) in other.iter().enumerate() {
            let cell = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX - 1);
            let changed = cell(&last, place) + usize::from(character != candidate);
            let least = changed.min(cell(&last, place + 1) + 1).min(cell(&row, place) + 1);
            let is_swapped = at > 0
                && place > 0
                && one.get(at - 1) == Some(candidate)
                && other.get(place - 1) == Some(character);
            row.push(if is_swapped { least.min(cell(&before, place - 1) + 1) } else { least });
        }
        rows = [before, last, row];
    }
    rows[2].last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        let names = ["app/db", "app/mail", "web/db-password", "app/api-key", "btc-agent/twitter/credentials"];
        for (name, expected) in [
            ("app/dv", "app/db"),
            ("app/bd", "app/db"),
            ("App/DB", "app/db"),
            ("app-db", "app/db"),
            ("db-password", "web/db-password"),
            ("prod/mail", "app/mail"),
            ("app/api_key", "app/api-key"),
            ("btc-agent/twiter/credential", "btc-agent/twitter/credentials"),
            ("app/db", ""),
            ("something/else", ""),
            ("x", ""),
        ] {
            assert_eq!(near(name, names).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn how_far_words_are_apart() {
        for (one, other, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("abc", "acb", 1),
            ("kitten", "sitting", 3),
            ("ab", "cd", 2),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}

//! A reader of JSON that knows where each value stands, so that errors and advice can point at it.
//!
//! Pure. Invariants: it reads strict JSON (RFC 8259) only, refuses a member that is named twice, goes no deeper than
//! [`DEPTH_MAX`], and takes time and memory in proportion to the text.

use std::fmt;

/// How deep a document may nest. A policy's own depth is six.
const DEPTH_MAX: usize = 12;

/// A place in a document: both count from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in it.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

/// A value, where it begins, and what follows where it ends.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) end: Position,
    pub(crate) value: Value,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As it is spelled.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// One member of an object, in the order of the text.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) at: Position,
    pub(crate) node: Node,
}

/// What is no JSON, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    pub(crate) what: String,
}

pub(crate) fn read(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader { rest: text, at: Position { line: 1, column: 1 } };
    reader.skip_space();
    let node = reader.value(0)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.fault("nothing may follow the document")),
    }
}

struct Reader<'a> {
    rest: &'a str,
    at: Position,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next()?;
        self.rest = characters.as_str();
        match character {
            '\n' => self.at = Position { line: self.at.line.saturating_add(1), column: 1 },
            _ => self.at.column = self.at.column.saturating_add(1),
        }
        Some(character)
    }

    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault { at: self.at, what: what.into() }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        let at = self.at;
        if depth > DEPTH_MAX {
            return Err(self.fault("the document nests too deep"));
        }
        let value = match self.peek() {
            Some('{') => Value::Object(self.object(depth)?),
            Some('[') => Value::List(self.list(depth)?),
            Some('"') => Value::Text(self.text()?),
            Some('-' | '0'..='9') => Value::Number(self.number()?),
            Some('t') => self.word("true", Value::Bool(true))?,
            Some('f') => self.word("false", Value::Bool(false))?,
            Some('n') => self.word("null", Value::Null)?,
            Some(_) => return Err(self.fault("expected a value")),
            None => return Err(self.fault("the document ends where a value is expected")),
        };
        Ok(Node { at, end: self.at, value })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member>, Fault> {
        self.next();
        let mut members: Vec<Member> = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        self.skip_space();
        if self.peek() == Some('}') {
            self.next();
            return Ok(members);
        }
        loop {
            self.skip_space();
            let at = self.at;
            if self.peek() != Some('"') {
                return Err(self.fault("expected a member's name in double quotes"));
            }
            let name = self.text()?;
            if !names.insert(name.clone()) {
                return Err(Fault { at, what: format!("`{name}` stands here twice") });
            }
            self.skip_space();
            if self.peek() != Some(':') {
                return Err(self.fault("expected `:`"));
            }
            self.next();
            self.skip_space();
            let node = self.value(depth + 1)?;
            members.push(Member { name, at, node });
            self.skip_space();
            match self.peek() {
                Some(',') => self.next(),
                Some('}') => {
                    self.next();
                    return Ok(members);
                }
                _ => return Err(self.fault("expected `,` or `}`")),
            };
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        self.next();
        let mut nodes = Vec::new();
        self.skip_space();
        if self.peek() == Some(']') {
            self.next();
            return Ok(nodes);
        }
        loop {
            self.skip_space();
            nodes.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(',') => self.next(),
                Some(']') => {
                    self.next();
                    return Ok(nodes);
                }
                _ => return Err(self.fault("expected `,` or `]`")),
            };
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Fault> {
        if !self.rest.starts_with(word) {
            return Err(self.fault("expected a value"));
        }
        for _ in word.chars() {
            self.next();
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<String, Fault> {
        let mut spelled = String::new();
        if self.peek() == Some('-') {
            spelled.extend(self.next());
        }
        let starts_with_zero = self.peek() == Some('0');
        let whole = self.digits(&mut spelled)?;
        if starts_with_zero && whole > 1 {
            return Err(self.fault("a number has no leading zero"));
        }
        if self.peek() == Some('.') {
            spelled.extend(self.next());
            self.digits(&mut spelled)?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            spelled.extend(self.next());
            if matches!(self.peek(), Some('+' | '-')) {
                spelled.extend(self.next());
            }
            self.digits(&mut spelled)?;
        }
        Ok(spelled)
    }

    fn digits(&mut self, spelled: &mut String) -> Result<usize, Fault> {
        let mut count = 0;
        while matches!(self.peek(), Some('0'..='9')) {
            spelled.extend(self.next());
            count += 1;
        }
        if count == 0 { Err(self.fault("expected a digit")) } else { Ok(count) }
    }

    fn text(&mut self) -> Result<String, Fault> {
        self.next();
        let mut text = String::new();
        loop {
            let before = self.at;
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped(before)?),
                Some(character) if u32::from(character) < 0x20 => {
                    return Err(Fault { at: before, what: "a text has no control characters".into() });
                }
                Some(character) => text.push(character),
                None => return Err(self.fault("the document ends within a text")),
            }
        }
    }

    fn escaped(&mut self, at: Position) -> Result<char, Fault> {
        let unknown = || Fault { at, what: "unknown escape".into() };
        match self.next() {
            Some(character @ ('"' | '\\' | '/')) => Ok(character),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => {
                let first = self.four_digits().ok_or_else(unknown)?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first).ok_or_else(unknown);
                }
                // The first half of a pair.
                if self.next() != Some('\\') || self.next() != Some('u') {
                    return Err(unknown());
                }
                let second = self.four_digits().ok_or_else(unknown)?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(unknown());
                }
                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }

    fn four_digits(&mut self) -> Option<u32> {
        let mut code = 0;
        for _ in 0..4 {
            code = code * 16 + self.next()?.to_digit(16)?;
        }
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_stand() {
        let node = read("{\n  \"é\": [1, \"x\"]\n}").unwrap();
        let Value::Object(members) = node.value else { panic!() };
        assert_eq!((members[0].at.line, members[0].at.column), (2, 3));
        let Value::List(nodes) = &members[0].node.value else { panic!() };
        assert_eq!((nodes[1].at.line, nodes[1].at.column), (2, 12));
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_stands() {
        for (text, at, what) in [
            ("", (1, 1), "ends"),
            ("{", (1, 2), "name"),
            ("{\"a\":1,}", (1, 8), "name"),
            ("[1,]", (1, 4), "expected a value"),
            ("{\"a\":1,\n \"a\":2}", (2, 2), "`a` stands here twice"),
            ("\"\\ud800x\"", (1, 2), "unknown escape"),
            ("\"\\x\"", (1, 2), "unknown escape"),
            ("\"\n\"", (1, 2), "control"),
            ("01", (1, 3), "leading zero"),
            ("nul", (1, 1), "expected a value"),
            ("{} {}", (1, 4), "follow"),
            ("'a'", (1, 1), "expected a value"),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!((fault.at.line, fault.at.column), at, "{text}");
            assert!(fault.what.contains(what), "{text}: {}", fault.what);
        }
        assert!(read(&"[".repeat(100_000)).unwrap_err().what.contains("too deep"));
    }

    #[test]
    fn texts_are_unescaped() {
        let node = read(r#""\u00e9\ud83d\ude00\n\/""#).unwrap();
        assert_eq!(node.value, Value::Text("é😀\n/".into()));
    }
}

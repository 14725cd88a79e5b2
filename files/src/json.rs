//! JSON as people's files have it: as our own types, with errors that name the field; no name twice in an object, and no more
//! values than are wanted.

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_path_to_error::{Error, Track};

use crate::text::excerpt;

/// The most values of a configuration.
pub const CONFIGURATION: usize = 1 << 16;
/// The most values of a vocabulary, or of another long list: CLIP's has two hundred thousand.
pub const VOCABULARY: usize = 1 << 19;

/// Why JSON is not what it should be.
#[derive(Debug)]
pub struct JsonError {
    /// The field, with those that it lies in; `.` where it is all of it.
    pub field: String,
    /// The problem.
    pub reason: String,
    /// The line, from 1 on, and 0 where there are none.
    pub line: usize,
    /// The column in it.
    pub column: usize,
}

impl std::error::Error for JsonError {}

impl fmt::Display for JsonError {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        if self.field != "." {
            write!(to, "{}: ", self.field)?;
        }
        self.reason.fmt(to)?;
        match self.line {
            0 => Ok(()),
            line => write!(to, " at line {line} column {}", self.column),
        }
    }
}

impl From<Error<serde_json::Error>> for JsonError {
    fn from(error: Error<serde_json::Error>) -> Self {
        let field = excerpt(&error.path().to_string());
        let error = error.into_inner();
        let (line, column) = (error.line(), error.column());
        let reason = error.to_string();
        let reason = match reason.rsplit_once(" at line ") {
            Some((reason, _)) if line > 0 => reason,
            _ => &reason,
        };
        Self { field, reason: excerpt(reason), line, column }
    }
}

/// Reads a whole text. A name that stands twice in one object, of which other readers take the first or the last, is an
/// error, and so are more than `most` values, however small they are.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], most: usize) -> Result<T, JsonError> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let mut left = most;
    let scan = Scan { most, left: &mut left };
    let scanned = scan.deserialize(&mut text).and_then(|()| text.end());
    let mut text = serde_json::Deserializer::from_slice(bytes);
    match scanned {
        Ok(()) => Ok(serde_path_to_error::deserialize(&mut text)?),
        Err(error) => {
            // A syntax error stands in a field, which reading the type finds.
            let syntax = error.is_syntax();
            let named = syntax.then(|| serde_path_to_error::deserialize::<_, T>(&mut text).err());
            let named = named.flatten().filter(|error| error.inner().is_syntax());
            Err(named.unwrap_or_else(|| Error::new(Track::new().path(), error)))?
        }
    }
}

/// Reads what was read as JSON already.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, JsonError> {
    Ok(serde_path_to_error::deserialize(value)?)
}

/// Goes over a value, and makes nothing of it.
struct Scan<'a> {
    most: usize,
    left: &'a mut usize,
}

impl Scan<'_> {
    /// The same for a value within this one.
    fn within(&mut self) -> Scan<'_> {
        Scan { most: self.most, left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        *self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom(format!("it has more than {} values", self.most)))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self.within())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = object.next_key::<String>()? {
            object.next_value_seed(self.within())?;
            if let Some(name) = names.replace(name) {
                let name = excerpt(&name);
                return Err(A::Error::custom(format!("{name:?} is there twice")));
            }
        }
        Ok(())
    }
}

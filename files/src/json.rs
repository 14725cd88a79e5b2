//! JSON as people's files have it: no name twice in an object, and no more values than are wanted.

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};

/// The most values of a configuration.
pub const CONFIGURATION: usize = 1 << 16;
/// The most values of a vocabulary, or of another long list: CLIP's has two hundred thousand.
pub const VOCABULARY: usize = 1 << 19;

/// As `serde_json::from_slice`, but a name that stands twice in one object, of which other readers take the first or the
/// last, is an error, and so are more than `most` values, however small they are.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], most: usize) -> serde_json::Result<T> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let mut left = most;
    let scan = Scan {
        most,
        left: &mut left,
    };
    scan.deserialize(&mut text)?;
    text.end()?;
    serde_json::from_slice(bytes)
}

/// Goes over a value, and makes nothing of it.
struct Scan<'a> {
    most: usize,
    left: &'a mut usize,
}

impl Scan<'_> {
    /// The same for a value within this one.
    fn within(&mut self) -> Scan<'_> {
        Scan {
            most: self.most,
            left: self.left,
        }
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
                let shown: String = name.chars().take(100).collect();
                return Err(A::Error::custom(format!("{shown:?} is there twice")));
            }
        }
        Ok(())
    }
}

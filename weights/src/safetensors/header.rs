//! The header of a safetensors file, read entry by entry within a budget: a megabyte of it can name thousands of tensors.

use std::cell::RefCell;
use std::fmt;
use std::io::BufReader;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{HeaderError, METADATA};
use crate::Error;
use crate::budget::{Budget, OverBudget, TENSOR};
use crate::lazy_tensor::{Blob, Dtype, LazyTensor};
use files::text::excerpt;

/// The format's own limit on its header.
const LONGEST_HEADER: u64 = 100_000_000;
/// The most sides that a tensor may have; models have four.
const MOST_SIDES: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: Name,
    shape: Shape,
    data_offsets: [u64; 2],
}

/// A type's name: one that there is, or the beginning of another.
enum Name {
    Known(Dtype),
    Unknown(String),
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(|name: &str| {
            Ok(match Dtype::named(name) {
                Some(dtype) => Self::Known(dtype),
                None => Self::Unknown(excerpt(name)),
            })
        }))
    }
}

/// A string that is not in the file a second time, and what is made of it.
struct Text<F>(F);

impl<'de, T, F: FnOnce(&str) -> Result<T, String>> Visitor<'de> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

impl<'de, T, F: FnOnce(&str) -> Result<T, String>> DeserializeSeed<'de> for Text<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

/// A tensor's sides.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sides;
        impl<'de> Visitor<'de> for Sides {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of sides")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut sides = Vec::new();
                while let Some(side) = list.next_element()? {
                    if sides.len() == MOST_SIDES {
                        let problem = format!("a shape has more than {MOST_SIDES} sides");
                        return Err(A::Error::custom(problem));
                    }
                    sides.push(side);
                }
                Ok(Shape(sides))
            }
        }
        deserializer.deserialize_seq(Sides)
    }
}

/// The header's entries in the file's order, with whatever occurs twice.
struct Entries<'a> {
    budget: &'a mut Budget,
    /// The budget was not enough.
    over: &'a RefCell<Option<OverBudget>>,
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Vec<(String, Info)>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut described = false;
        loop {
            let name = map.next_key_seed(Text(|name: &str| {
                let paid = self.budget.pay(TENSOR + 2 * name.len() as u64);
                paid.map(|()| name.to_owned()).map_err(|problem| {
                    self.over.replace(Some(problem));
                    String::new()
                })
            }))?;
            match name {
                None => return Ok(entries),
                Some(name) if name == METADATA => {
                    map.next_value_seed(Strings)?;
                    if std::mem::replace(&mut described, true) {
                        return Err(A::Error::custom("it has two __metadata__ entries"));
                    }
                }
                Some(name) => entries.push((name, map.next_value()?)),
            }
        }
    }
}

/// An object of strings, which are passed over.
struct Strings;

impl<'de> Visitor<'de> for Strings {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Text(|_: &str| Ok(())))?.is_some() {
            map.next_value_seed(Text(|_: &str| Ok(())))?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strings {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// The tensors of a safetensors file in the order of their bytes, duplicates included.
pub(crate) fn read(blob: &Rc<Blob>) -> Result<Vec<LazyTensor>, Error> {
    read_header(blob).map_err(|problem| Error::Safetensors { file: blob.name.clone(), problem })
}

fn read_header(blob: &Rc<Blob>) -> Result<Vec<LazyTensor>, HeaderError> {
    let length = blob.len();
    if length < 8 {
        return Err(HeaderError::NoHeader { length });
    }
    let claimed = blob.read(0, 8).try_into().expect("eight bytes were read");
    let header = u64::from_le_bytes(claimed);
    if header > LONGEST_HEADER || header > length as u64 - 8 {
        return Err(HeaderError::HeaderLength { header, length });
    }
    let data = 8 + header as usize;
    let mut entries = entries(blob, data)?;
    entries.sort_by_key(|(_, info)| info.data_offsets);

    let mut next = 0;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, info) in entries {
        let [start, end] = info.data_offsets;
        let shape = info.shape.0;
        let dtype = match info.dtype {
            Name::Known(dtype) => dtype,
            Name::Unknown(dtype) => {
                return Err(HeaderError::Dtype { tensor: excerpt(&name), dtype });
            }
        };
        let Some(expected) = size(&shape, dtype) else {
            return Err(HeaderError::Shape { tensor: excerpt(&name), shape });
        };
        if start != next {
            return Err(HeaderError::Offset { tensor: excerpt(&name), start, expected: next });
        }
        if end.checked_sub(start) != Some(expected) {
            return Err(HeaderError::Size {
                tensor: excerpt(&name),
                dtype: dtype.name,
                shape,
                expected,
                start,
                end,
            });
        }
        next = end;
        if end > (length - data) as u64 {
            continue; // Reported below, with the length that the whole of the tensors takes.
        }
        tensors.push(LazyTensor {
            name,
            dtype,
            shape: shape.iter().map(|&side| side as i64).collect(),
            strides: None,
            blob: blob.clone(),
            start: data + start as usize,
            length: expected as usize,
        });
    }
    let found = (length - data) as u64;
    if next != found {
        return Err(HeaderError::Length { expected: next, found });
    }
    Ok(tensors)
}

/// The entries of the header that ends at byte `data`.
fn entries(blob: &Blob, data: usize) -> Result<Vec<(String, Info)>, HeaderError> {
    let mut budget = Budget::of(blob.len());
    let over = RefCell::new(None);
    let text = BufReader::with_capacity(1 << 16, blob.part(8..data));
    let mut text = serde_json::Deserializer::from_reader(text);
    let visitor = Entries { budget: &mut budget, over: &over };
    let entries = text.deserialize_map(visitor);
    let entries = entries.and_then(|entries| text.end().map(|()| entries));
    entries.map_err(|error| match over.take() {
        Some(OverBudget { most, .. }) => HeaderError::Memory(most),
        None => HeaderError::Header(error.to_string()),
    })
}

/// The bytes of a tensor, if libtorch can count them: sides beside one of 0 have a product too.
fn size(shape: &[u64], dtype: Dtype) -> Option<u64> {
    let product = |bits: i64, side: &u64| bits.checked_mul(i64::try_from(*side).ok()?.max(1));
    let bits = shape.iter().try_fold(dtype.bits as i64, product)?;
    let bits = if shape.contains(&0) { 0 } else { bits };
    (bits % 8 == 0).then_some(bits as u64 / 8)
}

//! The instructions that make and fill tuples, lists, dicts and sets, and those that remember values and recall them.

use super::machine::Machine;
use super::value::{ENTRY, PLACE, Value};
use super::{PickleError, opcodes};

impl Machine<'_, '_> {
    fn tuple(&mut self, count: usize) -> Result<(), PickleError> {
        let mut items: Vec<u32> = (0..count).map(|_| self.pop()).collect::<Result<_, _>>()?;
        items.reverse();
        self.push(Value::Tuple(items))
    }

    /// Runs an instruction that makes or fills a tuple, a list, a dict or a set; whether it is one.
    pub(super) fn container(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            opcodes::EMPTY_TUPLE => self.tuple(0)?,
            opcodes::TUPLE1 => self.tuple(1)?,
            opcodes::TUPLE2 => self.tuple(2)?,
            opcodes::TUPLE3 => self.tuple(3)?,
            opcodes::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            opcodes::EMPTY_LIST => self.push(Value::List(Vec::new()))?,
            opcodes::LIST => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?;
            }
            opcodes::APPEND => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            opcodes::APPENDS => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            opcodes::EMPTY_DICT => self.push(Value::Dict(Vec::new()))?,
            opcodes::DICT => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(&items)?;
            }
            opcodes::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            opcodes::SETITEMS => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            opcodes::EMPTY_SET => self.push_plain("a set")?,
            opcodes::ADDITEMS => {
                self.pop_to_mark()?;
                self.top()?;
            }
            opcodes::FROZENSET => {
                self.pop_to_mark()?;
                self.push_plain("a set")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn append(&mut self, items: &[u32]) -> Result<(), PickleError> {
        self.pay(items.len() * PLACE)?;
        let list = self.top()?;
        match &mut self.values[list as usize] {
            Value::List(list) => list.extend(items),
            _ => return Err(self.damaged("an item is appended to what is no list")),
        }
        Ok(())
    }

    fn set(&mut self, items: &[u32]) -> Result<(), PickleError> {
        self.pay(items.len() * PLACE)?;
        let dict = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err(self.damaged("a key has no value"));
        }
        let is_mutable =
            |key: u32| matches!(self.values[key as usize], Value::Dict(_) | Value::List(_));
        if items.iter().step_by(2).any(|&key| is_mutable(key)) {
            return Err(self.damaged("a list or a dict is a key"));
        }
        let Value::Dict(entries) = &mut self.values[dict as usize] else {
            return Err(self.damaged("an entry is set in what is no dict"));
        };
        entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    /// Runs an instruction that remembers a value or recalls one; whether it is one.
    pub(super) fn remember(&mut self, opcode: u8) -> Result<bool, PickleError> {
        match opcode {
            opcodes::MEMOIZE => self.put(self.memo.len())?,
            opcodes::BINPUT => {
                let place = self.length(1)?;
                self.put(place)?;
            }
            opcodes::LONG_BINPUT => {
                let place = self.length(4)?;
                self.put(place)?;
            }
            opcodes::PUT => {
                let place = self.place_in_text()?;
                self.put(place)?;
            }
            opcodes::BINGET => {
                let place = self.length(1)?;
                self.get(place)?;
            }
            opcodes::LONG_BINGET => {
                let place = self.length(4)?;
                self.get(place)?;
            }
            opcodes::GET => {
                let place = self.place_in_text()?;
                self.get(place)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn place_in_text(&mut self) -> Result<usize, PickleError> {
        let place = self.line()?.parse::<u32>();
        let place = place.map_err(|_| self.damaged("a place of its memory is no number"))?;
        Ok(place as usize)
    }

    fn put(&mut self, place: usize) -> Result<(), PickleError> {
        let value = self.top()?;
        if self.memo.insert(place as u32, value).is_none() {
            self.pay(ENTRY)?;
        }
        Ok(())
    }

    fn get(&mut self, place: usize) -> Result<(), PickleError> {
        match self.memo.get(&(place as u32)) {
            Some(value) => self.push_place(*value),
            None => Err(self.damaged(format!("nothing was remembered as {place}"))),
        }
    }
}

//! The Mersenne twister MT19937.

use serde::{Deserialize, Serialize};

/// The Mersenne twister MT19937 (Matsumoto and Nishimura, 1998), seeded as in its
/// revision of 2002.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "State")]
pub(crate) struct Mersenne {
    words: Vec<u32>,
    /// The next word to hand out; at `LENGTH` all are renewed first.
    next: usize,
}

const LENGTH: usize = 624;
const SHIFT: usize = 397;

impl Mersenne {
    pub(crate) fn new(seed: u32) -> Self {
        let mut words = vec![seed; LENGTH];
        for i in 1..LENGTH {
            let mixed = words[i - 1] ^ (words[i - 1] >> 30);
            words[i] = mixed.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { words, next: LENGTH }
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.next == LENGTH {
            self.renew();
        }
        let mut word = self.words[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// Two words, the first one as the upper half.
    pub(crate) fn next_u64(&mut self) -> u64 {
        let upper = u64::from(self.next_u32());
        upper << 32 | u64::from(self.next_u32())
    }

    fn renew(&mut self) {
        for i in 0..LENGTH {
            let joined =
                (self.words[i] & 0x8000_0000) | (self.words[(i + 1) % LENGTH] & 0x7fff_ffff);
            let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.words[i] = self.words[(i + SHIFT) % LENGTH] ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }
}

/// A state as a file holds it, which may be damaged.
#[derive(Deserialize)]
struct State {
    words: Vec<u32>,
    next: usize,
}

impl TryFrom<State> for Mersenne {
    type Error = String;

    fn try_from(state: State) -> Result<Self, String> {
        let State { words, next } = state;
        if words.len() != LENGTH || next > LENGTH {
            return Err(format!(
                "a random generator's state has {} words and stands at word {next}, \
                 but it should have {LENGTH} and stand at {LENGTH} at most",
                words.len()
            ));
        }
        Ok(Self { words, next })
    }
}

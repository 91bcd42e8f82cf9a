//! An operation of a process, in Jepsen's sense: the words of its Kafka workload.
//!
//! Promises: plain data; an operation read from a file and written again says the same, whatever it was. Nothing here
//! decides anything. Micro-operations lie flat, so that one [`Operation`] can be filled again and again without an
//! allocation for each.

use std::collections::BTreeMap;

/// Numbers below this one count the names of a history up from `i64::MIN`.
const NAMES_END: i64 = i64::MIN + (1 << 32);

/// A key, a value or a process: a number, or something else (a keyword, a string, a vector, …) by its place in
/// [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom(i64);

impl Atom {
    /// `None`: so low that it would be taken for a name, and has to become one.
    pub fn number(number: i64) -> Option<Atom> {
        (number >= NAMES_END).then_some(Atom(number))
    }

    pub fn as_number(self) -> Option<i64> {
        (self.0 >= NAMES_END).then_some(self.0)
    }

    /// As one number that no other atom of the same history has.
    pub fn raw(self) -> i64 {
        self.0
    }

    pub fn from_raw(raw: i64) -> Atom {
        Atom(raw)
    }
}

impl From<u32> for Atom {
    fn from(number: u32) -> Atom {
        Atom(i64::from(number))
    }
}

/// What the atoms that are no numbers stand for: EDN text as it stood in the history.
#[derive(Clone, Debug, Default)]
pub struct Names {
    texts: Vec<String>,
    index: BTreeMap<String, u32>,
}

impl Names {
    /// The atom of a text, the same one each time. There is none once 2^32 are taken.
    pub fn atom(&mut self, text: &str) -> Option<Atom> {
        if let Some(index) = self.index.get(text) {
            return Some(Atom(i64::MIN + i64::from(*index)));
        }
        let index = u32::try_from(self.texts.len()).ok()?;
        self.texts.push(text.to_owned());
        self.index.insert(text.to_owned(), index);
        Some(Atom(i64::MIN + i64::from(index)))
    }

    /// The text of an atom that is no number.
    pub fn text(&self, atom: Atom) -> Option<&str> {
        let index = atom.raw().wrapping_sub(i64::MIN);
        self.texts.get(usize::try_from(index).ok()?).map(String::as_str)
    }

    /// The atom as EDN.
    pub fn show(&self, atom: Atom) -> String {
        match (atom.as_number(), self.text(atom)) {
            (Some(number), _) => number.to_string(),
            (None, Some(text)) => text.to_owned(),
            (None, None) => format!("#unnamed {}", atom.raw().wrapping_sub(i64::MIN)),
        }
    }
}

/// Jepsen's `:type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Invoke,
    Ok,
    /// Certainly did not take effect.
    Fail,
    /// Nobody knows.
    Info,
}

/// Jepsen's `:f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    Send,
    Poll,
    Txn,
    Assign,
    Subscribe,
    Crash,
    DebugTopicPartitions,
    Other(Atom),
}

/// What a send says about its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `value`
    Unsaid,
    /// `[nil value]`
    Unknown,
    /// `[offset value]`
    At(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MicroOperation {
    Send {
        key: Atom,
        value: Atom,
        place: Place,
    },
    /// `[:poll]`: not completed, or it never told.
    PollPending,
    /// `count` of [`Operation::batches`] from `first` on, one for each key.
    Poll {
        first: u32,
        count: u32,
    },
    /// Something else: its place in [`Operation::verbatim`].
    Verbatim(u32),
}

/// What one poll found of one key: `count` of [`Operation::polled`] from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub key: Atom,
    pub first: u32,
    pub count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polled {
    pub offset: Option<i64>,
    pub value: Atom,
}

/// In which form the operation has its `:value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    #[default]
    Absent,
    /// [`Operation::micro_operations`]
    MicroOperations,
    /// [`Operation::keys`]
    Keys,
    /// EDN text that is neither.
    Verbatim(String),
}

/// One entry of a `:rebalance-log`: a consumer group gave keys to this process, or took them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// `:assigned`, `:revoked`, `:lost`, as EDN text.
    pub what: Option<String>,
    pub keys: Vec<Atom>,
    /// What else it says: keys and values as EDN text.
    pub rest: Vec<(String, String)>,
}

/// One line of a history: an invocation, a completion, or a nemesis at work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    pub index: Option<u64>,
    /// Since the run began.
    pub time_ns: Option<i64>,
    /// A number for clients, a name for the nemesis and its like.
    pub process: Option<Atom>,
    pub stage: Option<Stage>,
    pub function: Option<Function>,
    pub shape: Shape,
    pub micro_operations: Vec<MicroOperation>,
    pub batches: Vec<Batch>,
    pub polled: Vec<Polled>,
    pub verbatim: Vec<String>,
    /// Of assign and subscribe.
    pub keys: Vec<Atom>,
    /// EDN text.
    pub error: Option<String>,
    pub rebalance_log: Option<Vec<Rebalance>>,
    pub seek_to_beginning: Option<bool>,
    pub poll_ms: Option<i64>,
    /// Every other key with its value, as EDN text, in the order in which they stood.
    pub rest: Vec<(String, String)>,
}

impl Operation {
    /// Forgets what it says and keeps the memory.
    pub fn clear(&mut self) {
        self.index = None;
        self.time_ns = None;
        self.process = None;
        self.stage = None;
        self.function = None;
        self.error = None;
        self.rebalance_log = None;
        self.seek_to_beginning = None;
        self.poll_ms = None;
        self.rest.clear();
        self.clear_value();
    }

    pub fn clear_value(&mut self) {
        self.shape = Shape::Absent;
        self.micro_operations.clear();
        self.batches.clear();
        self.polled.clear();
        self.verbatim.clear();
        self.keys.clear();
    }

    pub fn batches_of(&self, first: u32, count: u32) -> &[Batch] {
        part(&self.batches, first, count)
    }

    pub fn polled_of(&self, batch: &Batch) -> &[Polled] {
        part(&self.polled, batch.first, batch.count)
    }
}

/// Nothing, if an operation put together by hand points beyond its own end.
fn part<T>(whole: &[T], first: u32, count: u32) -> &[T] {
    let first = first as usize;
    whole.get(first..first.saturating_add(count as usize)).unwrap_or_default()
}

//! Names that callers choose: job ids, task groups, worker ids, limits; and priorities.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::types::Invalid;

/// A name of a job, unique within its tenant: 1–256 bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(Arc<str>);

/// The queue a job waits in and a worker asks for: 1–64 characters (Unicode scalar values).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskGroup(Arc<str>);

/// Who holds a lease, as the worker calls itself: 1–256 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId(Arc<str>);

/// What a limit is called within its tenant: 1–256 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LimitKey(Arc<str>);

impl JobId {
    /// Longest job id, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Takes `text` as a job id.
    ///
    /// # Errors
    /// [`Invalid`] when it is empty, longer than [`Self::BYTES_MAX`] or has control characters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            let value = format!("{} bytes long", text.len());
            return Err(Invalid::new(
                "id",
                value,
                format!("1 to {} bytes", Self::BYTES_MAX),
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(
                "id",
                text.escape_debug(),
                "free of control characters",
            ));
        }
        Ok(Self(text.into()))
    }

    /// A job id from the text form of a UUID, which is always within the bounds.
    pub(crate) fn of_uuid(text: &str) -> Self {
        Self(text.into())
    }
}

impl TaskGroup {
    /// Longest task group, in Unicode scalar values.
    pub const CHARS_MAX: usize = 64;

    /// Takes `text` as a task group.
    ///
    /// # Errors
    /// [`Invalid`] when it is empty or longer than [`Self::CHARS_MAX`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let chars = text.chars().count();
        if chars == 0 || chars > Self::CHARS_MAX {
            let value = format!("{chars} characters long");
            let bound = format!("1 to {} characters", Self::CHARS_MAX);
            return Err(Invalid::new("task_group", value, bound));
        }
        Ok(Self(text.into()))
    }

    /// Stands for the group of a job whose rows no longer say it.
    pub(crate) fn unknown() -> Self {
        Self("?".into())
    }
}

impl WorkerId {
    /// Longest worker id, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Takes `text` as a worker id.
    ///
    /// # Errors
    /// [`Invalid`] when it is empty or longer than [`Self::BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            let value = format!("{} bytes long", text.len());
            let bound = format!("1 to {} bytes", Self::BYTES_MAX);
            return Err(Invalid::new("worker_id", value, bound));
        }
        Ok(Self(text.into()))
    }

    /// Stands for whoever worked on an attempt that was imported.
    pub(crate) fn elsewhere() -> Self {
        Self("import".into())
    }
}

impl LimitKey {
    /// Longest key, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Takes `text` as the key of a limit.
    ///
    /// # Errors
    /// [`Invalid`] when it is empty or longer than [`Self::BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            let value = format!("{} bytes long", text.len());
            let bound = format!("1 to {} bytes", Self::BYTES_MAX);
            return Err(Invalid::new("limits.key", value, bound));
        }
        Ok(Self(text.into()))
    }
}

/// What the names share: how they print, and a codec that checks bounds again on reading.
macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl BorshSerialize for $type {
            fn serialize<W: std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
                BorshSerialize::serialize(&*self.0, writer)
            }
        }

        impl BorshDeserialize for $type {
            fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
                let text = String::deserialize_reader(reader)?;
                Self::parse(&text)
                    .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))
            }
        }
    };
}

name!(JobId);
name!(TaskGroup);
name!(WorkerId);
name!(LimitKey);

/// 0 to 99; 0 is served first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize)]
pub struct Priority(u8);

impl Priority {
    /// The priority that is served last.
    pub const MAX: u8 = 99;

    /// Takes a number as a priority.
    ///
    /// # Errors
    /// [`Invalid`] above [`Self::MAX`].
    pub fn parse(number: u32) -> Result<Self, Invalid> {
        match u8::try_from(number) {
            Ok(small) if small <= Self::MAX => Ok(Self(small)),
            Ok(_) | Err(_) => Err(Invalid::new(
                "priority",
                number,
                format!("0 to {}", Self::MAX),
            )),
        }
    }

    /// The priority as a number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl BorshDeserialize for Priority {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        Self::parse(u8::deserialize_reader(reader)?.into())
            .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))
    }
}

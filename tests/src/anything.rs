//! Messages that say anything: every field of every call's request, by the contract itself, so that
//! no call and no field is forgotten.

use std::collections::BTreeMap;

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use silo_runtime::proto::FILE_DESCRIPTOR_SET;

use crate::messages::{GROUP, WORKER};
use crate::server::Trouble;

/// Messages within messages at most.
const DEPTH_MAX: u32 = 4;
/// Longest wait that is asked for, in milliseconds.
const WAIT_MS_END: u64 = 20;

/// The calls of the service, and their requests.
#[derive(Debug)]
pub struct Contract {
    /// Each call, and the name of its request.
    pub calls: Vec<(String, String)>,
    messages: BTreeMap<String, DescriptorProto>,
}

/// What exists, to be named now and then.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Ids of shards.
    pub shards: Vec<String>,
    /// Ids of jobs.
    pub jobs: Vec<String>,
    /// Ids of tasks.
    pub tasks: Vec<String>,
    /// Tenants; empty where tenancy is off.
    pub tenants: Vec<String>,
}

/// Numbers that look random, from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed rolls the same numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.any().checked_rem(end).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(from.len()).unwrap_or(0));
        from.get(usize::try_from(index).unwrap_or(0))
    }

    /// Any bytes, fewer than `end`.
    pub fn bytes(&mut self, end: u64) -> Vec<u8> {
        let count = self.below(end);
        (0..count).map(|_| self.any().to_le_bytes()[0]).collect()
    }

    fn text(&mut self, end: u64) -> String {
        let count = self.below(end);
        let char = |dice: &mut Self| match dice.below(3) {
            0 => char::from(dice.any().to_le_bytes()[0] & 0x7f),
            1 => '-',
            _ => {
                let scalar = u32::try_from(dice.below(0x11_0000)).unwrap_or(0);
                char::from_u32(scalar).unwrap_or('\u{fffd}')
            }
        };
        (0..count).map(|_| char(self)).collect()
    }
}

impl Contract {
    /// Reads the contract that the server was built with.
    ///
    /// # Errors
    /// When it cannot be read, or has no service.
    pub fn read() -> Result<Self, Trouble> {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?;
        let mut messages = BTreeMap::new();
        let mut calls = Vec::new();
        for file in set.file {
            let package = format!(".{}", file.package());
            for message in file.message_type {
                insert(&mut messages, &package, message);
            }
            let services = file.service.into_iter();
            for method in services.flat_map(|service| service.method) {
                calls.push((method.name().to_owned(), method.input_type().to_owned()));
            }
        }
        if calls.is_empty() {
            return Err("a contract without calls".into());
        }
        Ok(Self { calls, messages })
    }

    /// A request of this name that says anything in its fields.
    #[must_use]
    pub fn anything(&self, request: &str, dice: &mut Dice, known: &Known) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(request, DEPTH_MAX, dice, known, &mut bytes);
        bytes
    }

    fn write(&self, name: &str, depth: u32, dice: &mut Dice, known: &Known, bytes: &mut Vec<u8>) {
        let fields = self.messages.get(name).map(|message| &message.field);
        for field in fields.into_iter().flatten() {
            let count = match field.label() {
                Label::Repeated => dice.below(5),
                Label::Optional | Label::Required => dice.below(4).min(1),
            };
            for _ in 0..count {
                self.write_field(field, depth, dice, known, bytes);
            }
        }
    }

    fn write_field(
        &self,
        field: &FieldDescriptorProto,
        depth: u32,
        dice: &mut Dice,
        known: &Known,
        bytes: &mut Vec<u8>,
    ) {
        let tag = u32::try_from(field.number()).unwrap_or(1);
        match field.r#type() {
            Type::Double | Type::Fixed64 | Type::Sfixed64 => {
                encode_key(tag, WireType::SixtyFourBit, bytes);
                bytes.extend_from_slice(&double(dice).to_le_bytes());
            }
            Type::Float | Type::Fixed32 | Type::Sfixed32 => {
                encode_key(tag, WireType::ThirtyTwoBit, bytes);
                bytes.extend_from_slice(&dice.any().to_le_bytes()[..4]);
            }
            Type::String => {
                let text = text(field.name(), dice, known);
                write_bytes(tag, text.as_bytes(), bytes);
            }
            Type::Bytes => {
                let any = match dice.below(3) {
                    0 => (0..16).map(|_| dice.any().to_le_bytes()[0]).collect(),
                    1 => dice.bytes(10_000),
                    _ => dice.bytes(40),
                };
                write_bytes(tag, &any, bytes);
            }
            Type::Message | Type::Group => {
                let mut inner = Vec::new();
                if let Some(depth) = depth.checked_sub(1) {
                    self.write(field.type_name(), depth, dice, known, &mut inner);
                }
                write_bytes(tag, &inner, bytes);
            }
            Type::Bool
            | Type::Enum
            | Type::Int32
            | Type::Int64
            | Type::Uint32
            | Type::Uint64
            | Type::Sint32
            | Type::Sint64 => {
                encode_key(tag, WireType::Varint, bytes);
                encode_varint(integer(field.name(), dice), bytes);
            }
        }
    }
}

fn insert(
    messages: &mut BTreeMap<String, DescriptorProto>,
    within: &str,
    message: DescriptorProto,
) {
    let name = format!("{within}.{}", message.name());
    for nested in message.nested_type.clone() {
        insert(messages, &name, nested);
    }
    messages.insert(name, message);
}

fn write_bytes(tag: u32, value: &[u8], bytes: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, bytes);
    encode_varint(u64::try_from(value.len()).unwrap_or(0), bytes);
    bytes.extend_from_slice(value);
}

/// Mostly what may be right under this name, so that not all is refused by its first field.
fn text(name: &str, dice: &mut Dice, known: &Known) -> String {
    let group = [GROUP.to_owned()];
    let worker = [WORKER.to_owned()];
    let right: &[String] = match name {
        "shard" | "shard_id" => &known.shards,
        "id" => &known.jobs,
        "task_id" => &known.tasks,
        "tenant" | "tenant_id" => &known.tenants,
        "task_group" => &group,
        "worker_id" => &worker,
        _ => &[],
    };
    match dice.below(10) {
        0 => dice.text(300),
        1 => dice.text(20_000),
        2 => dice.text(30),
        3 => "00000000-0000-0000-0000-000000000000".to_owned(),
        4 => String::new(),
        _ => dice.pick(right).cloned().unwrap_or_default(),
    }
}

fn integer(name: &str, dice: &mut Dice) -> u64 {
    if name == "wait_ms" {
        return dice.below(WAIT_MS_END);
    }
    let edges = [
        0,
        1,
        u64::MAX,
        i64::MAX as u64,
        i64::MIN.cast_unsigned(),
        u64::from(u32::MAX),
        i32::MAX as u64,
        i64::from(i32::MIN).cast_unsigned(),
    ];
    match dice.below(4) {
        0 => dice.pick(&edges).copied().unwrap_or(0),
        1 => dice.any(),
        _ => dice.below(8),
    }
}

fn double(dice: &mut Dice) -> f64 {
    let edges = [f64::NAN, f64::INFINITY, -1.0, 0.0, f64::MAX, 1.5, 2.0];
    let any = f64::from_bits(dice.any());
    if dice.below(4) == 0 {
        any
    } else {
        dice.pick(&edges).copied().unwrap_or(any)
    }
}

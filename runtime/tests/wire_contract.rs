//! The contract that clients elsewhere were written for, spelled out a second time in
//! `wire_contract/contract.txt`: whoever changes a number, a name or a type in `proto/silo.proto`
//! by accident fails here.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use silo_runtime::proto::FILE_DESCRIPTOR_SET;

#[test]
fn messages_are_as_the_contract_says() {
    let contract = Contract::read();
    assert_eq!(
        contract.messages.len(),
        140,
        "84 messages of the contract and 56 of our own"
    );
    let file = described();
    let found: BTreeMap<&str, BTreeSet<String>> = file
        .message_type
        .iter()
        .map(|message| {
            let fields = message.field.iter().map(|field| spelled(message, field));
            (message.name(), fields.collect())
        })
        .collect();

    for (message, fields) in &contract.messages {
        assert_eq!(found.get(message), Some(fields), "message {message}");
    }
    let unknown: Vec<_> = found
        .keys()
        .filter(|name| !contract.messages.contains_key(*name))
        .collect();
    assert!(
        unknown.is_empty(),
        "messages that the contract does not know: {unknown:?}"
    );
}

#[test]
fn extensions_are_numbered_from_a_thousand() {
    let extended = Contract::read().extended;
    assert_eq!(extended.len(), 16);
    for field in extended {
        let number: u32 = field.split(' ').next().unwrap().parse().unwrap();
        assert!(number >= 1000, "{field}");
    }
}

#[test]
fn enums_are_as_the_contract_says() {
    let file = described();
    let found: BTreeMap<&str, String> = file
        .enum_type
        .iter()
        .map(|item| {
            let values = item
                .value
                .iter()
                .map(|v| format!("{}={}", v.name(), v.number()));
            (item.name(), values.collect::<Vec<_>>().join(", "))
        })
        .collect();
    let wanted: BTreeMap<&str, String> = Contract::read()
        .enums
        .into_iter()
        .map(|(name, it)| (name, it.to_owned()))
        .collect();
    assert_eq!(wanted.len(), 9);
    assert_eq!(found, wanted);
}

#[test]
fn calls_are_as_the_contract_says() {
    let file = described();
    assert_eq!(file.package(), "silo.v1");
    let [service] = file.service.as_slice() else {
        panic!("one service")
    };
    assert_eq!(service.name(), "Silo");
    let found: BTreeSet<String> = service
        .method
        .iter()
        .map(|method| {
            assert!(!method.client_streaming());
            let stream = if method.server_streaming() {
                "stream "
            } else {
                ""
            };
            let (input, output) = (local(method.input_type()), local(method.output_type()));
            format!("{}: {input} -> {stream}{output}", method.name())
        })
        .collect();
    let wanted: BTreeSet<String> = Contract::read()
        .calls
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(wanted.len(), 44, "29 of the contract and 15 of our own");
    assert_eq!(found, wanted);
}

/// The contract as the text file tells it.
#[derive(Default)]
struct Contract {
    messages: BTreeMap<&'static str, BTreeSet<String>>,
    enums: BTreeMap<&'static str, &'static str>,
    calls: Vec<&'static str>,
    /// Fields that are ours in messages that are not.
    extended: Vec<&'static str>,
}

impl Contract {
    fn read() -> Self {
        let mut contract = Self::default();
        let lines = include_str!("wire_contract/contract.txt").lines();
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(call) = line.strip_prefix("call ") {
                contract.calls.push(call);
                continue;
            }
            let (name, rest) = line.split_once(": ").unwrap();
            if let Some(name) = name.strip_prefix("enum ") {
                contract.enums.insert(name, rest);
                continue;
            }
            let fields: Vec<&str> = match rest {
                "(empty)" => Vec::new(),
                fields => fields.split("; ").collect(),
            };
            let owned = fields.iter().map(|field| (*field).to_owned());
            if let Some(name) = name.strip_prefix("extend ") {
                contract.messages.get_mut(name).unwrap().extend(owned);
                contract.extended.extend(fields);
            } else {
                assert!(
                    contract.messages.insert(name, owned.collect()).is_none(),
                    "{name} twice"
                );
            }
        }
        contract
    }
}

fn described() -> FileDescriptorProto {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    set.file
        .into_iter()
        .find(|file| file.package() == "silo.v1")
        .unwrap()
}

/// A field as the contract spells it.
fn spelled(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let entry = message.nested_type.iter().find(|nested| {
        nested
            .options
            .as_ref()
            .is_some_and(prost_types::MessageOptions::map_entry)
            && field
                .type_name()
                .ends_with(&format!(".{}.{}", message.name(), nested.name()))
    });
    let kind = match entry.map(|entry| entry.field.as_slice()) {
        Some([key, value]) => format!("map<{}, {}>", kind(key), kind(value)),
        Some(_) => panic!("a map entry is a key and a value"),
        None if field.label() == Label::Repeated => format!("repeated {}", kind(field)),
        None if field.proto3_optional() => format!("optional {}", kind(field)),
        None => kind(field),
    };
    let choice = match field.oneof_index {
        Some(index) if !field.proto3_optional() => {
            let oneof = message
                .oneof_decl
                .get(usize::try_from(index).unwrap())
                .unwrap();
            format!(" (oneof {})", oneof.name())
        }
        Some(_) | None => String::new(),
    };
    format!("{} {}: {kind}{choice}", field.number(), field.name())
}

fn kind(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => local(field.type_name()).to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}

fn local(name: &str) -> &str {
    name.trim_start_matches(".silo.v1.")
}

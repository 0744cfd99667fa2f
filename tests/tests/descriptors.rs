//! Our wire contract against the descriptors that OpenCue's own Python package ships: whatever we declare is there under the
//! same name and number, of the same type; and what we declare of a message, an enumeration or a service is all there is of it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};
use testbed::python::Venv;

/// Prints the package's file descriptors, one in a line, as numbers of their bytes.
const DUMP: &str = "
import importlib, json, pkgutil, opencue_proto
for module in pkgutil.iter_modules(opencue_proto.__path__):
    if module.name.endswith('_pb2'):
        file = importlib.import_module('opencue_proto.' + module.name).DESCRIPTOR
        print(json.dumps(list(file.serialized_pb)))
";

/// Everything that matters on the wire or to a caller, by its full name: `message`, `field`, `enum`, `value`, `method`.
type Declared = BTreeMap<String, String>;

fn add_file(declared: &mut Declared, file: &FileDescriptorProto) {
    let package = file.package();
    declared.insert(format!("file {package}"), file.syntax().to_owned());
    for message in &file.message_type {
        add_message(declared, package, message);
    }
    for enumeration in &file.enum_type {
        add_enumeration(declared, package, enumeration);
    }
    for service in &file.service {
        add_service(declared, package, service);
    }
}

fn add_message(declared: &mut Declared, parent: &str, message: &DescriptorProto) {
    let name = format!("{parent}.{}", message.name());
    let is_map_entry = message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry);
    declared.insert(format!("message {name}"), format!("map entry: {is_map_entry}"));
    // Names in JSON are left out: Python's descriptors drop them where they follow from the field's name.
    for field in &message.field {
        let kind = Type::try_from(field.r#type.unwrap()).unwrap();
        let label = Label::try_from(field.label.unwrap()).unwrap();
        let oneof = field.oneof_index.map_or("", |index| message.oneof_decl[index as usize].name());
        let options = field.options.as_ref();
        let deprecated = options.is_some_and(prost_types::FieldOptions::deprecated);
        let packed = options.and_then(|options| options.packed);
        let is = format!(
            "{} = {} {} {}; oneof: {oneof}; optional: {}; packed: {packed:?}; deprecated: {deprecated}",
            field.number(),
            label.as_str_name(),
            kind.as_str_name(),
            field.type_name(),
            field.proto3_optional(),
        );
        declared.insert(format!("field {name}.{}", field.name()), is);
    }
    for nested in &message.nested_type {
        add_message(declared, &name, nested);
    }
    for nested in &message.enum_type {
        add_enumeration(declared, &name, nested);
    }
}

fn add_enumeration(declared: &mut Declared, parent: &str, enumeration: &EnumDescriptorProto) {
    let name = format!("{parent}.{}", enumeration.name());
    let has_aliases = enumeration.options.as_ref().is_some_and(prost_types::EnumOptions::allow_alias);
    declared.insert(format!("enum {name}"), format!("aliases: {has_aliases}"));
    for value in &enumeration.value {
        declared.insert(format!("value {name}.{}", value.name()), value.number().to_string());
    }
}

fn add_service(declared: &mut Declared, parent: &str, service: &ServiceDescriptorProto) {
    let name = format!("{parent}.{}", service.name());
    declared.insert(format!("service {name}"), String::new());
    for method in &service.method {
        let is = format!(
            "{} (streamed: {}) -> {} (streamed: {})",
            method.input_type(),
            method.client_streaming(),
            method.output_type(),
            method.server_streaming()
        );
        declared.insert(format!("method {name}.{}", method.name()), is);
    }
}

fn declared(files: &[FileDescriptorProto]) -> Declared {
    let mut declared = Declared::new();
    for file in files {
        add_file(&mut declared, file);
    }
    declared
}

fn ours() -> Declared {
    declared(&FileDescriptorSet::decode(cue_scheduler_proto::FILE_DESCRIPTOR_SET).unwrap().file)
}

/// What the package declares.
fn shipped() -> Declared {
    let python = Venv::with_agent().unwrap().python();
    let output = Command::new(python).args(["-c", DUMP]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files: Vec<FileDescriptorProto> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let bytes: Vec<u8> = serde_json::from_str(line).unwrap();
            FileDescriptorProto::decode(bytes.as_slice()).unwrap()
        })
        .collect();
    declared(&files)
}

/// Differences, for people: ours on the left.
fn differences(ours: &Declared, shipped: &Declared) -> Vec<String> {
    ours.iter()
        .filter(|(name, is)| shipped.get(*name) != Some(*is))
        .map(|(name, is)| format!("{name}: ours {is:?}, shipped {:?}", shipped.get(name)))
        .collect()
}

#[test]
fn whatever_we_declare_is_shipped_with_the_same_numbers_and_types() {
    let ours = ours();
    for name in ["field rqd.RunFrame.pid", "value job.FrameState.WAITING", "method rqd.RqdInterface.LaunchFrame"] {
        assert!(ours.contains_key(name), "{name} is not in our own descriptors");
    }
    let differences = differences(&ours, &shipped());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn nothing_is_left_out_of_what_we_declare() {
    let ours = ours();
    // The parts of a thing are told by the thing's name before their own.
    let wholes: BTreeSet<&str> = ours
        .keys()
        .filter_map(|name| {
            let (kind, name) = name.split_once(' ')?;
            ["message", "enum", "service"].contains(&kind).then_some(name)
        })
        .collect();
    let missing: Vec<String> = shipped()
        .into_keys()
        .filter(|name| {
            let (kind, path) = name.split_once(' ').unwrap();
            let whole = path.rsplit_once('.').map_or("", |(whole, _)| whole);
            ["field", "value", "method"].contains(&kind) && wholes.contains(whole) && !ours.contains_key(name)
        })
        .collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_changed_number_or_a_name_of_our_own_would_be_noticed() {
    let shipped = ours();
    for (name, is) in [("field rqd.RunFrame.pid", "29 = ..."), ("value job.FrameState.DREAMING", "9")] {
        let mut changed = ours();
        changed.insert(name.to_owned(), is.to_owned());
        let found = differences(&changed, &shipped);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(name), "{found:?}");
    }
}

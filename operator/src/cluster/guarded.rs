//! A resource as it comes from the API server: one that can't be read is told, and stops no other.
//!
//! The API server looks into `config` or `podTemplate` no further than they have a schema, and lets them be nested thousands of
//! levels deep. A reader of JSON gives up long before that, and with it the whole list or event, for everybody. So what is nested
//! deeper than anything sound is passed over while it is read, and remembered as a fault of its resource.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Number, Value};

use crate::crd::{SchedulerDeployment, SchedulerDeploymentSpec, SchedulerDeploymentStatus};

/// How deep a spec may be nested. A scheduler.yaml may be 64 levels deep, and readers of JSON give up at 128.
const DEPTH_MAX: usize = 100;

/// A resource, or what is wrong with it.
#[derive(Clone, Debug)]
pub struct Guarded(pub Result<SchedulerDeployment, Box<Unreadable>>);

/// A resource that can't be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Why, in a line.
    pub error: String,
    /// What could be read of it. Its spec is empty.
    pub rest: SchedulerDeployment,
}

impl<'de> Deserialize<'de> for Guarded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            metadata: Bounded,
            #[serde(default)]
            spec: Bounded,
            #[serde(default)]
            status: Bounded,
        }
        let Parts { metadata, spec, status } = Parts::deserialize(deserializer)?;
        // Who owns which field is told of every level of the spec; what is passed over of that, nobody asks for.
        let metadata = serde_json::from_value::<ObjectMeta>(metadata.value).map_err(D::Error::custom)?;
        let status = status.read::<Option<SchedulerDeploymentStatus>>().ok().flatten();
        Ok(Self(match spec.read::<SchedulerDeploymentSpec>() {
            Ok(spec) => Ok(SchedulerDeployment { metadata, spec, status }),
            Err(error) => {
                let rest = SchedulerDeployment { metadata, spec: SchedulerDeploymentSpec::default(), status };
                Err(Box::new(Unreadable { error: format!("spec: {error}"), rest }))
            }
        }))
    }
}

impl Guarded {
    fn resource(&self) -> &SchedulerDeployment {
        self.0.as_ref().unwrap_or_else(|unreadable| &unreadable.rest)
    }
}

impl Resource for Guarded {
    type DynamicType = ();
    type Scope = <SchedulerDeployment as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        SchedulerDeployment::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        SchedulerDeployment::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        SchedulerDeployment::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        SchedulerDeployment::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.resource().meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(resource) => resource.meta_mut(),
            Err(unreadable) => unreadable.rest.meta_mut(),
        }
    }
}

/// A value that was read no deeper than it may be.
#[derive(Default)]
struct Bounded {
    value: Value,
    is_too_deep: bool,
}

impl Bounded {
    fn read<T: de::DeserializeOwned>(self) -> Result<T, String> {
        if self.is_too_deep {
            return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
        }
        serde_json::from_value(self.value).map_err(|error| error.to_string())
    }
}

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut is_too_deep = false;
        let value = Level { left: DEPTH_MAX, is_too_deep: &mut is_too_deep }.deserialize(deserializer)?;
        Ok(Self { value, is_too_deep })
    }
}

/// Reads a value, with so many levels left below it.
struct Level<'l> {
    left: usize,
    is_too_deep: &'l mut bool,
}

impl Level<'_> {
    fn below(&mut self) -> Level<'_> {
        Level { left: self.left - 1, is_too_deep: self.is_too_deep }
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.left == 0 {
            // What is passed over may be as deep as it likes.
            *self.is_too_deep = true;
            return IgnoredAny::deserialize(deserializer).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number without end"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.below())? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if map.insert(name.clone(), fields.next_value_seed(self.below())?).is_some() {
                return Err(A::Error::custom(format!("{name} is there twice")));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &str) -> Guarded {
        read_owned(spec, "{}")
    }

    fn read_owned(spec: &str, fields: &str) -> Guarded {
        let metadata =
            format!(r#"{{"name": "farm", "managedFields": [{{"manager": "kubectl", "fieldsV1": {fields}}}]}}"#);
        let text = format!(r#"{{"type": "ADDED", "object": {{"metadata": {metadata}, "spec": {spec}}}}}"#);
        let event: kube::core::WatchEvent<Guarded> = serde_json::from_str(&text).unwrap();
        match event {
            kube::core::WatchEvent::Added(resource) => resource,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sound_resource_is_read_whole() {
        let spec = r#"{"facilities": [{"name": "spi", "replicas": 2}], "database": {"credentialsSecretRef": {"name": "x"}},
            "config": {"queue": {"worker_threads": 8, "memory_factor": -1.5, "none": null, "list": [true, "a"]}}}"#;
        let resource = read(spec).0.unwrap();
        assert_eq!(resource.spec, serde_json::from_str(spec).unwrap());
    }

    #[test]
    fn owners_of_deep_fields_do_no_harm() {
        let fields = format!("{}{{}}{}", r#"{"f:a":"#.repeat(500), "}".repeat(500));
        assert_eq!(read_owned("{}", &fields).meta().name.as_deref(), Some("farm"));
    }

    #[test]
    fn what_cant_be_read_keeps_its_name_and_says_why() {
        let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let table = [
            (r#"{"facilities": 1}"#.to_owned(), "invalid type"),
            ("null".to_owned(), "invalid type"),
            (deep(DEPTH_MAX), "nested deeper than 100 levels"),
            (deep(9000), "nested deeper than 100 levels"),
        ];
        for (spec, words) in table {
            let resource = read(&spec);
            assert_eq!(resource.meta().name.as_deref(), Some("farm"));
            let error = resource.0.unwrap_err().error;
            assert!(error.contains(words), "{error}");
        }
    }
}

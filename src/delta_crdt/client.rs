//! Using replicas: those of this node by their handle, any other through its process, as `DeltaCrdt`'s functions do.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DeltaCrdt, DeltaCrdtError};
use crate::process::{CallError, Dest, Process};
use crate::serde::{from_term, to_term};
use crate::term::{Map, Term};

/// A write, as `DeltaCrdt.mutate/4` names it by a function and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// `:add, [key, value]`.
    Add(Term, Term),
    /// `:remove, [key]`.
    Remove(Term),
}

impl Operation {
    /// Writes a key.
    ///
    /// # Errors
    /// Where the key or the value is no term.
    pub fn add(key: impl Serialize, value: impl Serialize) -> Result<Self, crate::serde::Error> {
        Ok(Self::Add(to_term(&key)?, to_term(&value)?))
    }

    /// Removes a key.
    ///
    /// # Errors
    /// Where the key is no term.
    pub fn remove(key: impl Serialize) -> Result<Self, crate::serde::Error> {
        Ok(Self::Remove(to_term(&key)?))
    }

    pub(super) fn key(&self) -> &Term {
        match self {
            Self::Add(key, _) | Self::Remove(key) => key,
        }
    }
}

impl DeltaCrdt {
    /// One write: `DeltaCrdt.mutate/4`. Done once the storage, if there is one, has it.
    ///
    /// ```
    /// # use tiebeam::{Cookie, Node, node::EpmdMode};
    /// use tiebeam::delta_crdt::Operation;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = Node::builder("mutate@127.0.0.1").cookie(Cookie::new("secret")?);
    /// # let node = builder.epmd(EpmdMode::Off).start().await?;
    /// let crdt = node.delta_crdt("store").start()?;
    /// crdt.mutate(Operation::add("key", 1)?).await?;
    /// assert_eq!(crdt.get("key")?, Some(1));
    /// crdt.mutate(Operation::remove("key")?).await?;
    /// assert!(crdt.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeltaCrdtError`].
    pub async fn mutate(&self, operation: Operation) -> Result<(), DeltaCrdtError> {
        self.write(vec![operation]).await
    }

    /// One write that is read here at once, but is not waited for: `DeltaCrdt.mutate_async/3`. With a storage, whether the
    /// disk took it is not told.
    ///
    /// ```
    /// # use tiebeam::{Cookie, Node, node::EpmdMode};
    /// # use tiebeam::delta_crdt::Operation;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = Node::builder("mutate_async@127.0.0.1").cookie(Cookie::new("secret")?);
    /// # let node = builder.epmd(EpmdMode::Off).start().await?;
    /// let crdt = node.delta_crdt("store").start()?;
    /// crdt.mutate_async(Operation::add("key", "value")?)?;
    /// assert_eq!(crdt.get::<String>("key")?.as_deref(), Some("value"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeltaCrdtError`], where the replica has ended or refuses the key.
    pub fn mutate_async(&self, operation: Operation) -> Result<(), DeltaCrdtError> {
        self.mutate_all(vec![operation])
    }

    /// Everything, as one map: `DeltaCrdt.read/1`; the same as [`DeltaCrdt::to_map`].
    ///
    /// ```
    /// # use tiebeam::{Cookie, Node, Term, node::EpmdMode};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = Node::builder("read@127.0.0.1").cookie(Cookie::new("secret")?);
    /// # let node = builder.epmd(EpmdMode::Off).start().await?;
    /// let crdt = node.delta_crdt("store").start()?;
    /// crdt.merge([(1, "one"), (2, "two"), (3, "three")]).await?;
    /// assert_eq!(crdt.read().len(), 3);
    /// let some = crdt.read_keys(&[Term::from(1), Term::from(4)]);
    /// assert_eq!(some.get(&Term::from(1)), Some(&Term::binary("one")));
    /// assert_eq!(some.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn read(&self) -> Map {
        self.to_map()
    }

    /// Some keys, as one map: `DeltaCrdt.read/2`. Keys that are not there are left out.
    #[must_use]
    pub fn read_keys(&self, keys: &[Term]) -> Map {
        let mut map = Map::new();
        for (key, value) in self.take(keys) {
            map.insert(key, value);
        }
        map
    }

    /// Writes a key: `DeltaCrdt.put/4`.
    ///
    /// # Errors
    /// [`DeltaCrdtError`].
    pub async fn put(&self, key: impl Serialize, value: impl Serialize) -> Result<(), DeltaCrdtError> {
        self.write(vec![Operation::Add(to_term(&key)?, to_term(&value)?)]).await
    }

    /// Writes all pairs of a map at once: `DeltaCrdt.merge/3`.
    ///
    /// # Errors
    /// [`DeltaCrdtError`].
    pub async fn merge<K: Serialize, V: Serialize>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), DeltaCrdtError> {
        let add = |(key, value)| Ok(Operation::Add(to_term(&key)?, to_term(&value)?));
        let operations = pairs.into_iter().map(add).collect::<Result<_, DeltaCrdtError>>()?;
        self.write(operations).await
    }

    /// Removes a key: `DeltaCrdt.delete/3`.
    ///
    /// # Errors
    /// [`DeltaCrdtError`].
    pub async fn delete(&self, key: impl Serialize) -> Result<(), DeltaCrdtError> {
        self.write(vec![Operation::Remove(to_term(&key)?)]).await
    }

    /// Removes several keys at once: `DeltaCrdt.drop/3`.
    ///
    /// # Errors
    /// [`DeltaCrdtError`].
    pub async fn drop_keys<K: Serialize>(&self, keys: impl IntoIterator<Item = K>) -> Result<(), DeltaCrdtError> {
        let remove = |key| Ok(Operation::Remove(to_term(&key)?));
        let operations = keys.into_iter().map(remove).collect::<Result<_, DeltaCrdtError>>()?;
        self.write(operations).await
    }

    /// Done once the storage, if there is one, has it.
    async fn write(&self, operations: Vec<Operation>) -> Result<(), DeltaCrdtError> {
        self.mutate_all(operations)?;
        self.shared.stored().await
    }

    /// Reads a key: `DeltaCrdt.get/3`. Waits for no one but a write under way.
    ///
    /// # Errors
    /// [`DeltaCrdtError::Serde`], if the value is not of that type.
    pub fn get<T: DeserializeOwned>(&self, key: impl Serialize) -> Result<Option<T>, DeltaCrdtError> {
        let value = self.get_term(&to_term(&key)?);
        Ok(value.map(|value| from_term(&value)).transpose()?)
    }

    /// Reads some keys: `DeltaCrdt.take/3`.
    #[must_use]
    pub fn take(&self, keys: &[Term]) -> Vec<(Term, Term)> {
        let replica = self.shared.read();
        keys.iter().filter_map(|key| Some((key.clone(), replica.state.get(key)?.clone()))).collect()
    }

    /// Everything, as one map: `DeltaCrdt.to_map/2`.
    #[must_use]
    pub fn to_map(&self) -> Map {
        Map::try_from_pairs(self.entries()).unwrap_or_default()
    }
}

/// Any replica of the cluster, through its process.
#[derive(Debug)]
pub struct Remote {
    process: Process,
    to: Dest,
    timeout: Option<Duration>,
}

impl Remote {
    /// The replica at this address, asked in the name of `process`; each answer may take so long.
    pub fn new(process: Process, to: impl Into<Dest>, timeout: Option<Duration>) -> Self {
        Self { process, to: to.into(), timeout }
    }

    async fn call(&mut self, request: &Term) -> Result<Term, CallError> {
        self.process.call(self.to.clone(), request, self.timeout).await
    }

    /// Everything: `DeltaCrdt.to_map/2`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn to_map(&mut self) -> Result<Map, CallError> {
        let all = self.call(&Term::atom("read")).await?;
        all.as_map().cloned().ok_or_else(|| CallError::Decode("the answer is no map".into()))
    }

    /// Some keys: `DeltaCrdt.take/3`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn take(&mut self, keys: Vec<Term>) -> Result<Map, CallError> {
        let some = self.call(&Term::tuple([Term::atom("read"), Term::list(keys)])).await?;
        some.as_map().cloned().ok_or_else(|| CallError::Decode("the answer is no map".into()))
    }

    /// One operation: `DeltaCrdt.mutate/4`; `add` with a key and a value, `remove` with a key.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn mutate(&mut self, function: &str, args: Vec<Term>) -> Result<Term, CallError> {
        self.call(&Term::tuple([Term::atom("operation"), operation(function, args)])).await
    }

    /// Several operations at once, each a function with its arguments: what `DeltaCrdt.merge/3` and `drop/3` send.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn mutate_all(&mut self, operations: Vec<(&str, Vec<Term>)>) -> Result<Term, CallError> {
        let operations: Vec<_> = operations.into_iter().map(|(function, args)| operation(function, args)).collect();
        self.call(&Term::tuple([Term::atom("bulk_operation"), Term::list(operations)])).await
    }
}

fn operation(function: &str, args: Vec<Term>) -> Term {
    Term::tuple([Term::atom(function), Term::list(args)])
}

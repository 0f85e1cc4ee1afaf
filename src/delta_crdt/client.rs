//! Using replicas: those of this node by their handle, any other through its process, as `DeltaCrdt`'s functions do.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DeltaCrdt, DeltaCrdtError, Operation};
use crate::process::{CallError, Dest, Process};
use crate::serde::{from_term, to_term};
use crate::term::{Map, Term};

impl DeltaCrdt {
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

//! State that services keep with a node, found by its type.

use std::any::{Any, TypeId};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;

/// One value of each type; made when first asked for.
#[derive(Default)]
pub(crate) struct Extensions(RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Extensions({})", self.0.read().unwrap_or_else(PoisonError::into_inner).len())
    }
}

impl Extensions {
    pub(crate) fn of<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<T>()).cloned();
        let value = known.unwrap_or_else(|| {
            let mut values = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(values.entry(TypeId::of::<T>()).or_insert_with(|| Arc::<T>::default()))
        });
        value.downcast().expect("a value is kept under its own type")
    }
}

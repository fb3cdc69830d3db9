//! The recipes in force: shared by all readers, replaced whole by a reload.

use std::sync::Arc;

use kmds_extract::Recipes;
use parking_lot::RwLock;

/// Cheap to clone; clones share the recipes.
#[derive(Debug, Clone, Default)]
pub struct SharedRecipes(Arc<RwLock<Arc<Recipes>>>);

impl SharedRecipes {
    #[must_use]
    pub fn new(recipes: Recipes) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(recipes))))
    }

    #[must_use]
    pub fn current(&self) -> Arc<Recipes> {
        Arc::clone(&self.0.read())
    }

    pub fn replace(&self, recipes: Recipes) {
        *self.0.write() = Arc::new(recipes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_recipes_are_seen_by_every_reader() {
        let ours = SharedRecipes::default();
        let theirs = ours.clone();
        let before = theirs.current();
        ours.replace(Recipes {
            date: "2031-01-01".to_owned(),
            ..Recipes::built_in()
        });
        assert_eq!(theirs.current().date, "2031-01-01");
        assert_ne!(
            before.date, "2031-01-01",
            "a reader of the old ones keeps them whole"
        );
    }
}

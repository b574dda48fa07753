//! Looks at the state after a kill, before anything heals it.

use parselog::ids::RunId;

use crate::oracle;
use crate::world::World;

impl World {
    /// Looks at what a kill left, before anything heals it: which logs have a name, and that no row
    /// names an object that is not there.
    pub(crate) async fn look_at_the_wreck(&mut self, about: &str) {
        let names =
            self.spool_files().into_iter().filter(|path| path.extension().is_some_and(|end| end != "new"));
        let runs =
            names.filter_map(|path| path.file_stem()?.to_str()?.split('.').next()?.parse::<RunId>().ok());
        self.named.extend(runs);
        self.look_at_the_rows(about).await;
    }

    /// As [`Self::look_at_the_wreck`], after what may have deleted objects that were seen before.
    pub(crate) async fn look_at_all_rows(&mut self, about: &str) {
        self.confirmed.clear();
        self.look_at_the_rows(about).await;
    }

    async fn look_at_the_rows(&mut self, about: &str) {
        let absent = oracle::rows_without_object(self).await;
        if !absent.is_empty() {
            self.fail(&format!("{about}: rows name objects that are not there: {absent:?}"));
        }
    }
}

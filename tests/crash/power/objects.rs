//! The folder store: what its calls promised, and what is on the shelf after a power loss.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use parselog::objects::{Bytes, FolderStore, Missing, ObjectError, ObjectUri, Objects, Put};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};

pub(super) const BUCKET: &str = "bucket";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().unwrap());

/// What was promised of a folder store.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    /// All bytes that anybody ever wanted to put there, by key.
    tried: Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>,
    /// Bytes by key and version.
    versions: BTreeMap<(String, String), Vec<u8>>,
    /// The current version of a key, until somebody changes it.
    current: BTreeMap<String, Vec<u8>>,
    /// Versions and current objects that were deleted.
    gone: Vec<(String, Option<String>)>,
}

/// The store below a root.
pub(super) fn store(root: &Path) -> Objects {
    Objects::Folder(FolderStore::open(&root.join("objects")).unwrap())
}

/// Puts bytes under a key and returns their version.
pub(super) fn put(root: &Path, key: &str, bytes: &[u8], if_none_match: bool) -> String {
    let source = tempfile::NamedTempFile::new().unwrap();
    fs::write(source.path(), bytes).unwrap();
    put_file(root, key, source.path(), if_none_match)
}

/// Puts a file under a key and returns its version.
pub(super) fn put_file(root: &Path, key: &str, path: &Path, if_none_match: bool) -> String {
    let sha256 = Sha256::digest(fs::read(path).unwrap()).into();
    let put = Put { content_type: "application/gzip", metadata: Vec::new(), sha256, if_none_match };
    let stored = RUNTIME.block_on(store(root).put_file(BUCKET, key, path, &put)).unwrap();
    stored.uri.version().expect("a folder keeps versions").to_owned()
}

/// Deletes a version of a key, or what is the current one.
pub(super) fn delete(root: &Path, key: &str, version: Option<&str>) {
    let store = store(root);
    RUNTIME.block_on(store.delete(&store.uri(BUCKET, key, version).unwrap())).unwrap();
}

/// How many versions of a key there are, without puts that have not ended.
pub(super) fn versions_of(root: &Path, key: &str) -> usize {
    let files = fs::read_dir(root.join("objects").join(BUCKET).join(".versions").join(key)).unwrap();
    files.filter(|file| file.as_ref().unwrap().path().extension().is_none()).count()
}

fn read(store: &Objects, uri: &ObjectUri) -> Result<Vec<u8>, ObjectError> {
    Ok(RUNTIME.block_on(store.get_range(uri, Bytes::Last(1 << 24)))?.bytes)
}

impl Shelf {
    /// Differs where the promises differ.
    pub(super) fn fingerprint(&self) -> [usize; 3] {
        [self.versions.len(), self.current.len(), self.gone.len()]
    }

    /// Somebody is about to put these bytes under a key.
    pub(super) fn tries(&mut self, key: &str, bytes: &[u8]) {
        self.current.remove(key);
        self.tried.lock().unwrap().entry(key.to_owned()).or_default().push(bytes.to_owned());
    }

    /// They are there.
    pub(super) fn holds(&mut self, key: &str, version: &str, bytes: &[u8]) {
        self.current.insert(key.to_owned(), bytes.to_owned());
        self.versions.insert((key.to_owned(), version.to_owned()), bytes.to_owned());
    }

    /// Somebody is about to delete a version, which may be the current one.
    pub(super) fn lets_go(&mut self, key: &str, version: Option<&str>) {
        self.current.remove(key);
        self.versions.retain(|(of, name), _| of != key || Some(name.as_str()) != version);
    }

    /// It is gone.
    pub(super) fn has_lost(&mut self, key: &str, version: Option<&str>) {
        self.gone.push((key.to_owned(), version.map(ToOwned::to_owned)));
    }

    /// See [`super::promise::Promise::check`].
    pub(super) fn check(&self, root: &Path) -> Result<(), String> {
        let tried = self.tried.lock().unwrap();
        if tried.is_empty() {
            return Ok(());
        }
        let store = store(root);
        let uri = |key: &str, version: Option<&str>| store.uri(BUCKET, key, version).unwrap();
        for ((key, version), bytes) in &self.versions {
            match read(&store, &uri(key, Some(version))) {
                Ok(found) if found == *bytes => {}
                found => return Err(format!("the version {version} of {key} is {}", told(found))),
            }
        }
        for (key, bytes) in &self.current {
            match read(&store, &uri(key, None)) {
                Ok(found) if found == *bytes => {}
                found => return Err(format!("{key} is {}", told(found))),
            }
        }
        for (key, version) in &self.gone {
            if let Ok(found) = read(&store, &uri(key, version.as_deref())) {
                return Err(format!("{key} was deleted, and is {}", told(Ok(found))));
            }
        }
        // Whatever has the name of an object is whole, promised or not.
        for (key, tried) in tried.iter() {
            let current = uri(key, None);
            match read(&store, &current) {
                Ok(found) if tried.contains(&found) => {}
                Err(ObjectError::NotFound { missing: Missing::Key | Missing::Bucket, .. }) => {}
                found => return Err(format!("{key} is {}", told(found))),
            }
            if let Ok(stored) = RUNTIME.block_on(store.head(&current))
                && stored.uri.version().is_none()
            {
                return Err(format!("{key} has no version"));
            }
            let versions = fs::read_dir(root.join("objects").join(BUCKET).join(".versions").join(key));
            for version in versions.into_iter().flatten().map(Result::unwrap) {
                let name = version.file_name().into_string().unwrap();
                let found = fs::read(version.path()).unwrap();
                if !name.ends_with(".part") && !tried.contains(&found) {
                    return Err(format!("the version {name} of {key} is {}", told(Ok(found))));
                }
            }
        }
        Ok(())
    }
}

fn told(found: Result<Vec<u8>, ObjectError>) -> String {
    found.map_or_else(|error| error.to_string(), |bytes| format!("{} bytes of something else", bytes.len()))
}

//! What is on the disk for good, what the kernel only has in memory, and every mixture of both.
//!
//! A look at a folder tells what changed. A sync of a file keeps its bytes, one of a folder the names in it,
//! and nothing else is kept for sure. Of later changes a power loss may keep any: of a file each page as it
//! ever was since, and any of its lengths; of the names each change, a rename as one. What was written behind a cut
//! to nothing is never mixed with what was there before, since file systems free pages with a cut.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file or folder, whatever its names.
pub(super) type Id = usize;
pub(super) type Bytes = Arc<Vec<u8>>;
type Names = BTreeMap<String, Id>;

/// So many looks at a file between two syncs are told apart.
const MOST_VIEWS: usize = 6;

/// A disk with one folder and all below it. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Platter {
    root: PathBuf,
    device: u64,
    nodes: Vec<Node>,
    by_inode: HashMap<u64, Id>,
    /// As long as it is open, no other file gets its number.
    held: Vec<Arc<File>>,
    /// Changes of names that are not durable, in order.
    pub(super) changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Node {
    Folder { durable: Names, seen: Names },
    File(Vec<Life>),
}

/// A file from one cut to nothing to the next.
#[derive(Debug, Clone)]
pub(super) struct Life {
    /// What is durable of it.
    pub(super) base: Bytes,
    /// What was seen of it since, the latest last.
    pub(super) views: Vec<Bytes>,
}

/// Names in one folder that change together.
#[derive(Debug, Clone)]
pub(super) struct Change {
    folder: Id,
    names: Vec<(String, Option<Id>)>,
}

/// What a disk holds after a power loss.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Tree(BTreeMap<PathBuf, Option<(Id, Bytes)>>);

impl Life {
    pub(super) fn now(&self) -> &Bytes {
        self.views.last().unwrap_or(&self.base)
    }
}

impl Platter {
    /// A disk on which the folder itself is durable, and nothing in it.
    pub(super) fn new(root: &Path) -> Self {
        let metadata = fs::metadata(root).unwrap();
        let (device, inode) = (metadata.dev(), metadata.ino());
        let top = Node::Folder { durable: Names::new(), seen: Names::new() };
        let held = vec![Arc::new(File::open(root).unwrap())];
        let by_inode = HashMap::from([(inode, 0)]);
        Self { root: root.to_owned(), device, nodes: vec![top], by_inode, held, changes: Vec::new() }
    }

    /// Notes what changed since the last look.
    pub(super) fn look(&mut self) {
        self.look_into(0, &self.root.clone());
    }

    fn look_into(&mut self, folder: Id, path: &Path) {
        let mut names = Names::new();
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            let (below, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let is_folder = entry.file_type().unwrap().is_dir();
            let inode = entry.metadata().unwrap().ino();
            let id = self.by_inode.get(&inode).copied().unwrap_or_else(|| self.add(inode, &below, is_folder));
            names.insert(name, id);
            match is_folder {
                true => self.look_into(id, &below),
                false => self.look_at(id, fs::read(&below).unwrap()),
            }
        }
        let Node::Folder { seen, .. } = &mut self.nodes[folder] else { panic!("a file became a folder") };
        let before = std::mem::replace(seen, names.clone());
        let mut gone: Vec<_> = before.iter().filter(|(name, _)| !names.contains_key(*name)).collect();
        for (name, id) in names.iter().filter(|(name, id)| before.get(*name) != Some(id)) {
            let mut change = vec![(name.clone(), Some(*id))];
            if let Some(at) = gone.iter().position(|(_, old)| *old == id) {
                change.push((gone.remove(at).0.clone(), None));
            }
            self.changes.push(Change { folder, names: change });
        }
        let gone = gone.into_iter().map(|(name, _)| Change { folder, names: vec![(name.clone(), None)] });
        self.changes.extend(gone);
    }

    fn add(&mut self, inode: u64, path: &Path, is_folder: bool) -> Id {
        self.nodes.push(match is_folder {
            true => Node::Folder { durable: Names::new(), seen: Names::new() },
            false => Node::File(vec![Life { base: Bytes::default(), views: Vec::new() }]),
        });
        self.held.push(Arc::new(File::open(path).unwrap()));
        self.by_inode.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn look_at(&mut self, id: Id, bytes: Vec<u8>) {
        let Node::File(lives) = &mut self.nodes[id] else { panic!("a folder became a file") };
        let life = lives.last_mut().unwrap();
        if **life.now() == bytes {
            return;
        }
        if bytes.is_empty() {
            lives.push(Life { base: Bytes::default(), views: Vec::new() });
            return;
        }
        if life.views.len() == MOST_VIEWS {
            life.views.remove(MOST_VIEWS / 2);
        }
        life.views.push(Arc::new(bytes));
    }

    /// Makes durable what the sync of a file or folder makes durable; of another disk it is nothing.
    pub(super) fn sync(&mut self, file: &File) {
        let metadata = file.metadata().unwrap();
        let Some(id) = self.by_inode.get(&metadata.ino()).copied() else { return };
        if metadata.dev() != self.device {
            return;
        }
        match &mut self.nodes[id] {
            Node::File(lives) => {
                let base = Arc::clone(lives.last().unwrap().now());
                *lives = vec![Life { base, views: Vec::new() }];
            }
            Node::Folder { durable, seen } => {
                durable.clone_from(seen);
                self.changes.retain(|change| change.folder != id);
            }
        }
    }

    /// The files of which not all is durable.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = (Id, &[Life])> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match node {
            Node::File(lives) if lives.len() > 1 || !lives[0].views.is_empty() => Some((id, &lives[..])),
            _ => None,
        })
    }

    /// What is there when of the names these changes were kept, and of a file's bytes what `bytes` says.
    pub(super) fn tree(
        &self,
        kept: impl Fn(usize) -> bool,
        mut bytes: impl FnMut(Id, &[Life]) -> Bytes,
    ) -> Tree {
        let mut folders: HashMap<Id, Names> = HashMap::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if let Node::Folder { durable, .. } = node {
                folders.insert(id, durable.clone());
            }
        }
        for (_, change) in self.changes.iter().enumerate().filter(|(number, _)| kept(*number)) {
            let names = folders.get_mut(&change.folder).unwrap();
            for (name, id) in &change.names {
                match id {
                    Some(id) => names.insert(name.clone(), *id),
                    None => names.remove(name),
                };
            }
        }
        let contents = self.nodes.iter().enumerate().filter_map(|(id, node)| match node {
            Node::File(lives) => Some((id, bytes(id, lives))),
            Node::Folder { .. } => None,
        });
        let contents: HashMap<Id, Bytes> = contents.collect();
        let mut tree = BTreeMap::new();
        plant(0, Path::new(""), &folders, &contents, &mut tree);
        Tree(tree)
    }

    /// The same disk under another root, as a kill of every process leaves it: nothing is lost, and nothing
    /// more is durable.
    pub(super) fn copy_to(&self, root: &Path) -> Self {
        self.tree(|_| true, |_, lives| Arc::clone(lives.last().unwrap().now())).write(root);
        let mut copy = Self::new(root);
        copy.nodes.clone_from(&self.nodes);
        copy.changes.clone_from(&self.changes);
        copy.find(0, root);
        copy
    }

    /// Gives what lies under a root its old numbers.
    fn find(&mut self, folder: Id, path: &Path) {
        let Node::Folder { seen, .. } = &self.nodes[folder] else { panic!("not a folder") };
        for (name, id) in seen.clone() {
            let below = path.join(name);
            let metadata = fs::metadata(&below).unwrap();
            self.held.push(Arc::new(File::open(&below).unwrap()));
            self.by_inode.insert(metadata.ino(), id);
            if metadata.is_dir() {
                self.find(id, &below);
            }
        }
    }
}

fn plant(
    folder: Id,
    path: &Path,
    folders: &HashMap<Id, Names>,
    contents: &HashMap<Id, Bytes>,
    tree: &mut BTreeMap<PathBuf, Option<(Id, Bytes)>>,
) {
    for (name, id) in &folders[&folder] {
        let below = path.join(name);
        match contents.get(id) {
            Some(bytes) => drop(tree.insert(below, Some((*id, Arc::clone(bytes))))),
            None => {
                tree.insert(below.clone(), None);
                plant(*id, &below, folders, contents, tree);
            }
        }
    }
}

impl Tree {
    /// Puts it into an empty folder.
    pub(super) fn write(&self, root: &Path) {
        let mut written: HashMap<Id, PathBuf> = HashMap::new();
        for (path, file) in &self.0 {
            let path = root.join(path);
            match file {
                None => fs::create_dir(&path).unwrap(),
                Some((id, bytes)) => match written.get(id) {
                    Some(other) => fs::hard_link(other, &path).unwrap(),
                    None => {
                        fs::write(&path, &**bytes).unwrap();
                        written.insert(*id, path);
                    }
                },
            }
        }
    }
}

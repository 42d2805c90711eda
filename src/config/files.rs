//! Files beside the configuration, whose change is to be noticed.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How files, and directories, looked when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    files: BTreeMap<PathBuf, Option<Mark>>,
}

/// What differs when a file is another, or holds something else. None of it is read from within the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    /// Of what a path leads to; `None` when it leads nowhere.
    fn of(path: &Path) -> Option<Self> {
        let of = |meta: Metadata| Self {
            device: meta.dev(),
            inode: meta.ino(),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        };
        path.metadata().ok().map(of)
    }
}

impl Watched {
    /// Remembers how a file looks. To be called before it is read: what changes while it is read is a change.
    pub fn look_at(&mut self, file: &Path) {
        self.files.entry(file.to_owned()).or_insert_with(|| Mark::of(file));
    }

    /// How the same files look now.
    pub fn look_again(&self) -> Self {
        Self { files: self.files.keys().map(|file| (file.clone(), Mark::of(file))).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn whatever_becomes_of_a_file_is_noticed() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/watched");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let (file, link) = (directory.join("file"), directory.join("link"));
        fs::write(&file, "one").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let look = || {
            let mut watched = Watched::default();
            [&file, &link, &directory, &directory.join("gone")]
                .into_iter()
                .for_each(|path| watched.look_at(path));
            watched
        };
        let mut before = look();
        assert_eq!(before.look_again(), before);
        let changes: [&dyn Fn(); 5] = [
            &|| fs::write(&file, "other").unwrap(),
            &|| fs::write(directory.join("gone"), "").unwrap(),
            &|| {
                fs::write(directory.join("new"), "other").unwrap();
                fs::rename(directory.join("new"), &file).unwrap();
            },
            &|| {
                std::os::unix::fs::symlink("gone", directory.join("other")).unwrap();
                fs::rename(directory.join("other"), &link).unwrap();
            },
            &|| fs::remove_file(&file).unwrap(),
        ];
        for (number, change) in changes.iter().enumerate() {
            change();
            assert_ne!(before.look_again(), before, "change {number}");
            before = look();
        }
    }
}

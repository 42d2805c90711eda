//! Unix sockets that are listened on: the file, who may connect to it, and that it is nobody else's.
//! It accepts nobody.
//!
//! Beside the socket lies a file with `.lock` behind its name, as beside PostgreSQL's, and in its form: so neither takes
//! the other's place. Among weirs the kernel's lock on that file decides, which ends with the process that has it; what
//! a weir has left that crashed is removed then.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group};
use rustix::fs::OFlags;
use rustix::process::Pid;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// How often a lock file is opened anew that its owner removes meanwhile.
const ATTEMPTS: usize = 10;

/// No lock file is longer.
const LOCK_MAX: u64 = 4096;

/// What stands in the second line of a lock file, where PostgreSQL names its data directory.
const OWNER: &str = "weir";

/// Where a Unix socket is listened on.
#[derive(Clone, Copy, Debug)]
pub struct UnixPlace<'a> {
    /// Its file. A path that begins with `@` is a name in no directory (Linux's abstract sockets), and has no permissions.
    pub path: &'a Path,
    /// The file's permissions.
    pub mode: u32,
    /// The file's group, by name or number.
    pub group: Option<&'a str>,
}

/// The files of a socket. They are removed when this is dropped.
#[derive(Debug)]
pub(super) struct Files {
    socket: PathBuf,
    lock: PathBuf,
    /// Holds the kernel's lock.
    locked: File,
}

impl Files {
    /// Those of a socket that another process has bound, whose lock came along.
    pub(super) fn taken_over(socket: &Path, mut locked: File) -> Self {
        // Who looks there for a process should find this one.
        let _ = owns(&mut locked);
        Self { socket: socket.to_owned(), lock: lock_of(socket), locked }
    }
}

impl Files {
    /// That of the lock.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.locked.try_clone().map(OwnedFd::from)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // The lock last: until then the path is nobody else's. Nobody is there to be told that it could not be removed.
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.lock);
    }
}

/// Listens there. Must be called within a runtime.
pub(super) fn listen(place: UnixPlace<'_>, backlog: i32) -> io::Result<(UnixListener, Option<Files>)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let files = match place.path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => {
            let address = [b"\0", name].concat();
            socket.bind(&SockAddr::unix(OsStr::from_bytes(&address))?)?;
            None
        }
        None => {
            let files = claim(place.path)?;
            socket.bind(&SockAddr::unix(place.path)?)?;
            admit(place)?;
            Some(files)
        }
    };
    // Until now whoever connects is refused: nobody comes in before the permissions are there.
    socket.listen(backlog)?;
    Ok((UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?, files))
}

/// Whether somebody at the other end of a Unix socket is the user that this process runs as, or root.
pub fn is_own_or_root(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

/// Sets who may connect.
fn admit(place: UnixPlace<'_>) -> io::Result<()> {
    if let Some(group) = place.group {
        chown(place.path, None, Some(number(group)?))?;
    }
    fs::set_permissions(place.path, fs::Permissions::from_mode(place.mode))
}

fn number(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let found = Group::from_name(group)?.map(|group| Gid::as_raw(group.gid));
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no group {group:?}")))
}

/// Makes the path ours, and free.
fn claim(path: &Path) -> io::Result<Files> {
    let lock = lock_of(path);
    let (mut locked, before) = exclusive(&lock)?;
    if let Err(error) = free(path, &before) {
        if before == Before::Nobody {
            // There was none.
            let _ = fs::remove_file(&lock);
        }
        return Err(error);
    }
    owns(&mut locked)?;
    Ok(Files { socket: path.to_owned(), lock, locked })
}

/// The file beside a socket.
fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

/// This process is said to have the lock.
fn owns(locked: &mut File) -> io::Result<()> {
    let text = format!("{}\n{OWNER}\n", std::process::id());
    locked.set_len(0)?;
    locked.rewind()?;
    locked.write_all(text.as_bytes())
}

/// Removes what lies there if nobody listens at it any more.
fn free(path: &Path, before: &Before) -> io::Result<()> {
    if let Before::Other(process) = before
        && is_alive(*process)
    {
        return Err(in_use(format!("by its lock file it belongs to process {process}")));
    }
    // Other programs that listen at such sockets make no lock file.
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) | Err(_) => Err(in_use("another process listens at it".to_owned())),
    }
}

/// Whose a lock file was until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nobody's: it has just been made.
    Nobody,
    /// A weir's, which has ended without removing it.
    Weir,
    /// Another program's, which knows nothing of the kernel's lock: this process.
    Other(i32),
}

impl Before {
    fn read(file: &mut File) -> io::Result<Self> {
        let mut text = String::new();
        file.take(LOCK_MAX).read_to_string(&mut text)?;
        let mut lines = text.lines();
        match (lines.next().map(str::parse), lines.next()) {
            (None, _) => Ok(Before::Nobody),
            (Some(Ok(_)), Some(OWNER)) => Ok(Before::Weir),
            // Of a server in single-user mode it is negative.
            (Some(Ok(process)), _) => Ok(Before::Other(i32::saturating_abs(process))),
            (Some(Err(_)), _) => Err(in_use("beside it lies a file that is no lock file".to_owned())),
        }
    }
}

/// Opens the lock file, or makes it, and has the kernel's lock on it: as long as the file is open, no other weir has.
fn exclusive(lock: &Path) -> io::Result<(File, Before)> {
    // In a directory where others may write the name could lead to any file of ours.
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    for _ in 0..ATTEMPTS {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let mut file = options.open(lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use("another weir listens at it".to_owned())),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Who had it may have removed it after it was opened here; then it is a lock on nothing.
        let (opened, there) = (file.metadata()?, fs::metadata(lock));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (opened.dev(), opened.ino())) {
            let before = Before::read(&mut file)?;
            return Ok((file, before));
        }
    }
    Err(in_use("its lock file is made and removed all the time".to_owned()))
}

/// Whether there is such a process, of whichever user. This one, which has the number of one before it, does not count.
fn is_alive(process: i32) -> bool {
    let Some(pid) = Pid::from_raw(process) else { return false };
    let alive = rustix::process::test_kill_process(pid);
    alive != Err(rustix::io::Errno::SRCH) && u32::try_from(process) != Ok(std::process::id())
}

fn in_use(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with this.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("weir-unix-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join(".s.PGSQL.6000")
        }

        fn lock(&self) -> PathBuf {
            self.0.join(".s.PGSQL.6000.lock")
        }

        fn listen(&self) -> io::Result<(UnixListener, Option<Files>)> {
            listen(UnixPlace { path: &self.socket(), mode: 0o770, group: None }, 10)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn refused(outcome: io::Result<(UnixListener, Option<Files>)>) -> String {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        error.to_string()
    }

    #[tokio::test]
    async fn a_socket_has_its_permissions_and_goes_with_its_listener() {
        let directory = Directory::new("mode");
        let listening = directory.listen().unwrap();
        assert_eq!(fs::metadata(directory.socket()).unwrap().mode() & 0o777, 0o770);
        assert_eq!(fs::metadata(directory.lock()).unwrap().mode() & 0o777, 0o600);
        let text = fs::read_to_string(directory.lock()).unwrap();
        assert_eq!(text, format!("{}\nweir\n", std::process::id()));
        UnixStream::connect(directory.socket()).unwrap();
        drop(listening);
        assert!(!directory.socket().exists() && !directory.lock().exists());
    }

    #[tokio::test]
    async fn what_a_crash_has_left_is_removed_and_what_lives_is_not() {
        let directory = Directory::new("stale");
        let (listener, files) = directory.listen().unwrap();
        assert_eq!(refused(directory.listen()), "another weir listens at it");
        // A crash closes descriptors, and with them the kernel's lock, but removes nothing.
        let files = files.unwrap();
        fs::rename(directory.socket(), directory.0.join("s")).unwrap();
        fs::rename(directory.lock(), directory.0.join("l")).unwrap();
        drop((listener, files));
        fs::rename(directory.0.join("s"), directory.socket()).unwrap();
        fs::rename(directory.0.join("l"), directory.lock()).unwrap();
        let (_listener, files) = directory.listen().unwrap();
        UnixStream::connect(directory.socket()).unwrap();
        drop(files);
        assert!(!directory.socket().exists() && !directory.lock().exists());
    }

    #[tokio::test]
    async fn a_socket_of_another_program_is_left_alone() {
        let directory = Directory::new("others");
        // One without a lock file, as PgBouncer's.
        let pgbouncer = std::os::unix::net::UnixListener::bind(directory.socket()).unwrap();
        assert_eq!(refused(directory.listen()), "another process listens at it");
        assert!(directory.socket().exists() && !directory.lock().exists());
        drop(pgbouncer);
        drop(directory.listen().unwrap());

        // One of PostgreSQL's, whose server has just begun: its parent is a process that lives as long as this.
        let process = std::os::unix::process::parent_id();
        let theirs = format!("{process}\n/var/lib/postgresql/15/main\n1700000000\n6000\n/tmp\n");
        fs::write(directory.lock(), &theirs).unwrap();
        let words = refused(directory.listen());
        assert_eq!(words, format!("by its lock file it belongs to process {process}"));
        assert_eq!(fs::read_to_string(directory.lock()).unwrap(), theirs);
        // And one of a server that is no more: no process has such a number.
        fs::write(directory.lock(), theirs.replace(&process.to_string(), &i32::MAX.to_string())).unwrap();
        drop(directory.listen().unwrap());
        assert!(!directory.lock().exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_lock_file_is_not_written_to() {
        let directory = Directory::new("link");
        let precious = directory.0.join("precious");
        fs::write(&precious, "important").unwrap();
        std::os::unix::fs::symlink(&precious, directory.lock()).unwrap();
        directory.listen().unwrap_err();
        fs::remove_file(directory.lock()).unwrap();
        fs::hard_link(&precious, directory.lock()).unwrap();
        assert_eq!(refused(directory.listen()), "beside it lies a file that is no lock file");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "important");
    }

    #[tokio::test]
    async fn a_name_in_no_directory_needs_no_file() {
        let name = format!("@weir-unix-{}/.s.PGSQL.6000", std::process::id());
        let place = UnixPlace { path: Path::new(&name), mode: 0o777, group: None };
        let (listener, files) = listen(place, 10).unwrap();
        assert!(files.is_none() && !Path::new(&name).exists());
        assert_eq!(listen(place, 10).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let client = tokio::net::UnixStream::connect(format!("\0{}", &name[1..])).await.unwrap();
        let (_, _) = listener.accept().await.unwrap();
        drop(client);
    }

    #[test]
    fn a_group_is_a_name_or_a_number() {
        assert_eq!(number("4711").unwrap(), 4711);
        assert_eq!(number("root").unwrap(), 0);
        assert_eq!(number("no such group").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

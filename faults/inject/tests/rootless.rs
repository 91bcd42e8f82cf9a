//! A world without privileges, entered by a process of its own: user namespaces are for processes with one thread, and a
//! test harness has more. Where this runs as root it runs itself again as nobody.

use highwater_inject::World;
use highwater_inject::net::can_enter;
use std::process::Command;

const INSIDE: &str = "HIGHWATER_TEST_WITHOUT_PRIVILEGES";

fn main() {
    if std::env::var_os(INSIDE).is_some() || !rustix::process::geteuid().is_root() {
        return without_privileges();
    }
    // Nobody may read the build directory: a copy for everybody.
    let directory = tempfile::Builder::new().permissions(everybodys()).tempdir().unwrap();
    let copy = directory.path().join("rootless");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    let mut command = Command::new("setpriv");
    match command.args(nobody).arg(&copy).env(INSIDE, "1").status() {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(error) => println!("skipped: setpriv: {error}"),
    }
}

fn everybodys() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o755)
}

fn without_privileges() {
    if let Err(why) = can_enter() {
        println!("skipped: {why}");
        return;
    }
    let mut world = World::enter().expect("the doctor said that it can be");
    world.join("n1", 1).unwrap();
    let address = world.join("n2", 2).unwrap();
    let listener = {
        // In the world's own namespace, where clients are.
        let script = format!("ip -brief -4 address | grep -q {address}");
        let status = world.command("n2", "sh").unwrap().args(["-c", &script]).status().unwrap();
        assert!(status.success(), "n2 does not have its address");
        std::net::TcpListener::bind((world.own_address(), 0)).unwrap()
    };
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/{}/{port}", world.own_address());
    match world.command("n1", "bash").unwrap().args(["-c", &script]).status() {
        Ok(status) => assert!(status.success(), "n1 does not reach its clients"),
        Err(error) => println!("skipped: bash: {error}"),
    }
    println!("entered without privileges");
}

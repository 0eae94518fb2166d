//! A first program that does nothing: what a kernel needs before anybody's work begins. It says that it runs and switches the machine
//! off. [`qemu_tests::figures::waking`] compares the rescue with it.

use std::time::Duration;

fn main() {
    println!("{}", qemu_tests::figures::waking::EMPTY_IS_UP);
    // The line must have left the port before the machine does.
    std::thread::sleep(Duration::from_millis(500));
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
}

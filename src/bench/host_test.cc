#include "bench/host.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "bench/proc_file.h"
#include "bench/process.h"
#include "bench/round_trip.h"
#include "bench/wait.h"
#include "linux/netlink.h"

namespace warren::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

class HostTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Host::create("left");
    if (!made && made.error().code == EPERM) GTEST_SKIP() << made.error().message;
    ASSERT_TRUE(made) << made.error().message;
    left_ = std::move(*made);
  }

  // What a script in the host prints.
  std::string in_host(const std::string& script) {
    auto process = Process::start({{"sh", "-c", script}, {}}, left_.get());
    if (!process) return process.error().message;
    const auto ended =
        wait_until("the end", [&]() -> Result<bool> { return !(*process)->running(); });
    EXPECT_TRUE(ended) << script;
    EXPECT_TRUE((*process)->succeeded()) << (*process)->obituary();
    return (*process)->output();
  }

  std::unique_ptr<Host> left_;
};

std::string state_of(pid_t pid) {
  const auto stat = read_proc_file(fmt::format("/proc/{}/stat", pid));
  const auto end = stat.rfind(") ");
  return end == std::string::npos ? "gone" : stat.substr(end + 2, 1);
}

TEST_F(HostTest, HasItsOwnNetworkProcessesAndRun) {
  EXPECT_THAT(in_host("cat /proc/net/dev"), Not(HasSubstr("eth0")));
  EXPECT_EQ(in_host("cat /sys/class/net/lo/flags"), "0x9\n");
  EXPECT_EQ(in_host("ls /sys/class/net"), "lo\n");
  EXPECT_EQ(in_host("tr '\\0' ' ' </proc/1/comm"), "warren-host\n");
  EXPECT_EQ(in_host("ls /run | grep -v resolv.conf | wc -l"), "0\n");
}

TEST_F(HostTest, HasItsOwnPlaceToPinPrograms) {
  if (::access("/sys/fs/bpf", F_OK) != 0) GTEST_SKIP() << "this kernel has no BPF file system";
  EXPECT_EQ(in_host("stat --file-system --format %T /sys/fs/bpf"), "bpf_fs\n");
  in_host("mkdir /sys/fs/bpf/of-the-host");
  EXPECT_NE(::access("/sys/fs/bpf/of-the-host", F_OK), 0) << "the machine itself must not see it";
}

TEST_F(HostTest, HasItsOwnCgroup) {
  if (!left_->cgroup()) GTEST_SKIP() << "this machine has no cgroup v2 that can be changed";
  // The root of its own file system, with nobody but the host's init and the script.
  EXPECT_EQ(in_host("grep ^0: /proc/self/cgroup"), "0::/\n");
  EXPECT_EQ(in_host("head -n 1 /sys/fs/cgroup/cgroup.procs"), "1\n");
  EXPECT_EQ(in_host("ls -d /sys/fs/cgroup/warren-bench-* 2>&1 | grep -c cannot"), "1\n");
  const auto directory = left_->cgroup()->directory();
  ASSERT_TRUE(std::filesystem::exists(directory));
  left_.reset();
  EXPECT_FALSE(std::filesystem::exists(directory));
}

// Through the host's loopback device, so the two sockets are in one host.
TEST_F(HostTest, TimesRoundTrips) {
  auto probe = RoundTrip::open(*left_, *left_, "127.0.0.1", 64);
  ASSERT_TRUE(probe) << probe.error().message;
  const auto ran = probe->run(std::chrono::milliseconds(50));
  ASSERT_TRUE(ran) << ran.error().message;
  const auto result = probe->result();
  EXPECT_GT(result.answered, 0);
  EXPECT_GT(result.median_us, 0);
  EXPECT_GE(result.p99_us, result.median_us);
  EXPECT_THAT(probe->to_json(), HasSubstr("\"length\":64"));
}

TEST_F(HostTest, SaysWhereNothingAnswers) {
  const auto probe = RoundTrip::open(*left_, *left_, "192.0.2.1", 64);
  ASSERT_FALSE(probe);
  EXPECT_THAT(probe.error().message, HasSubstr("host left: bind a UDP socket"));
}

TEST_F(HostTest, HasItsOwnResolvConf) {
  if (::access("/etc/resolv.conf", F_OK) != 0)
    GTEST_SKIP() << "this machine has no /etc/resolv.conf";
  std::ifstream in("/etc/resolv.conf");
  const std::string before{std::istreambuf_iterator<char>(in), {}};
  in_host("echo nameserver 192.0.2.1 >/etc/resolv.conf");
  EXPECT_EQ(in_host("cat /etc/resolv.conf"), "nameserver 192.0.2.1\n");
  std::ifstream again("/etc/resolv.conf");
  EXPECT_EQ(before, (std::string{std::istreambuf_iterator<char>(again), {}}));
}

TEST_F(HostTest, SeesOthersByName) {
  auto right = Host::create("right");
  ASSERT_TRUE(right) << right.error().message;
  const auto introduced = left_->introduce(**right);
  ASSERT_TRUE(introduced) << introduced.error().message;
  EXPECT_EQ(in_host("ls /run/netns"), "right\n");
  EXPECT_NE(::access("/run/netns/right", F_OK), 0) << "the machine itself must not see it";
  auto socket = netlink::Socket::open(left_->netns());
  ASSERT_TRUE(socket);
  netlink::VethConfig veth;
  veth.name = "eth0";
  veth.peer_name = "eth0";
  veth.peer_netns = (*right)->netns();
  ASSERT_TRUE(socket->create_veth(veth));
  EXPECT_THAT(in_host("nsenter --net=/run/netns/right ls /sys/class/net; ls /sys/class/net"),
              HasSubstr("eth0"));
}

TEST_F(HostTest, TakesItsProgramsAlong) {
  auto process = Process::start({{"sh", "-c", "sleep 1000 & echo $!; wait"}, {}}, left_.get());
  ASSERT_TRUE(process) << process.error().message;
  ASSERT_TRUE(
      wait_until("the sleep", [&]() -> Result<bool> { return !(*process)->output().empty(); }));
  left_.reset();
  EXPECT_TRUE(wait_until("the end of the program",
                         [&]() -> Result<bool> { return !(*process)->running(); }));
}

TEST_F(HostTest, DiesWithWhoeverMadeIt) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t maker = ::fork();
  if (maker == 0) {
    auto host = Host::create("orphan");
    const pid_t pid = host ? (*host)->pid() : -1;
    [[maybe_unused]] const auto told = ::write(ends[1], &pid, sizeof pid);
    for (;;) ::pause();
  }
  pid_t host = -1;
  ASSERT_EQ(::read(ends[0], &host, sizeof host), static_cast<ssize_t>(sizeof host));
  ASSERT_GT(host, 0);
  ::kill(maker, SIGKILL);
  ::waitpid(maker, nullptr, 0);
  // A zombie is dead; whoever is this machine's first process reaps it in its own time.
  EXPECT_TRUE(wait_until("the host's end", [&]() -> Result<bool> {
    const auto state = state_of(host);
    return state == "gone" || state == "Z" || state == "X";
  }));
  ::close(ends[0]);
  ::close(ends[1]);
  // Its cgroup, if it had one, goes with the next host that is made.
  if (!left_->cgroup()) return;
  const auto beside = std::filesystem::path(left_->cgroup()->directory()).parent_path();
  EXPECT_TRUE(wait_until("the end of its cgroup", [&]() -> Result<bool> {
    EXPECT_TRUE(Host::create("next"));
    return std::ranges::none_of(std::filesystem::directory_iterator(beside), [](const auto& each) {
      return each.path().filename().string().ends_with("-orphan");
    });
  }));
}

}  // namespace
}  // namespace warren::bench

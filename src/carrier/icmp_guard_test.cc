// The guard: what local sockets send in a carried flow through a device where nothing is attached.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>

#include "carrier/testing.h"
#include "linux/kernel_version.h"
#include "linux/netlink.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using wire::testing::build;

constexpr std::uint16_t tag = 0x3fa2;

class IcmpGuardTest : public ProgramsTest {
 protected:
  /// A device in 10.0.0.0/24 where nothing is attached.
  static std::uint32_t make_other_device() {
    auto links = netlink::Socket::open();
    netlink::VethConfig config;
    config.name = "other";
    config.peer_name = "peer";
    EXPECT_TRUE(links->create_veth(config));
    EXPECT_TRUE(links->add_address("other", *IpPrefix::parse("10.0.0.1/24")));
    EXPECT_TRUE(links->set_up("other", true));
    EXPECT_TRUE(links->set_up("peer", true));
    return static_cast<std::uint32_t>(*links->index("other"));
  }
};

TEST_F(IcmpGuardTest, ClosesOtherDevices) {
  if (!kernel_is_at_least(6, 2))
    GTEST_SKIP() << "before Linux 6.2, bpf_prog_test_run does not tell cgroup programs where the "
                    "packet ends";
  const auto other = make_other_device();
  __sk_buff context{};
  const auto guard = [&](const Bytes& packet, std::uint32_t ifindex) {
    context.ifindex = ifindex;
    return programs_->run(programs_->skeleton().progs.guard, packet, context).verdict;
  };
  programs_->add_user(tag, 1234);
  for (const bool ipv6 : {false, true}) {
    const auto spec = udp_packet(ipv6, 3000);
    auto served = spec;
    served.source_port = 1234;
    served.destination_port = 4321;
    EXPECT_EQ(guard(build(spec), other), 1);
    programs_->add_server(spec, tag);
    EXPECT_EQ(guard(build(spec), other), 0);
    EXPECT_EQ(guard(build(served), other), 0);
    EXPECT_EQ(guard(build(answer_to(spec)), other), 1);
    EXPECT_EQ(guard(fragment_of(spec, 0, 1480, 0x77), other), 0);
    EXPECT_EQ(guard(fragment_of(spec, 1480, 2960, 0x77), other), 0);
    EXPECT_EQ(guard(fragment_of(spec, 1480, 2960, 0x78), other), 1);
    EXPECT_EQ(guard(build(spec), loopback), 1);
  }
  EXPECT_EQ(programs_->count(ICMP_DROP_NOT_ATTACHED), 8U);
  add_device(other, 14, false);
  EXPECT_EQ(guard(build(udp_packet(false)), other), 1);
}

/// A control group of its own, in which a child sends.
class ControlGroup {
 public:
  ControlGroup() {
    char name[] = "/tmp/warren-cgroup-XXXXXX";
    mount_ = ::mkdtemp(name);
    mounted_ = ::mount("none", mount_.c_str(), "cgroup2", 0, nullptr) == 0;
    group_ = mount_ + "/warren-test-" + std::to_string(::getpid());
    if (mounted_) made_ = ::mkdir(group_.c_str(), 0755) == 0;
  }
  ~ControlGroup() {
    if (made_) ::rmdir(group_.c_str());
    if (mounted_) ::umount2(mount_.c_str(), MNT_DETACH);
    std::error_code ignored;
    std::filesystem::remove(mount_, ignored);
  }
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  [[nodiscard]] bool made() const { return made_; }
  [[nodiscard]] Fd open() const { return Fd(::open(group_.c_str(), O_RDONLY | O_DIRECTORY)); }

  /// Sends a datagram from a process of the group; returns its errno, 0 where it left.
  [[nodiscard]] int send(const char* address, std::uint16_t port) const {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(send_as_child(address, port));
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  }

 private:
  int send_as_child(const char* address, std::uint16_t port) const {
    const Fd processes(::open((group_ + "/cgroup.procs").c_str(), O_WRONLY));
    if (::write(processes.get(), "0", 1) != 1) return 254;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = wire::network(port);
    ::inet_pton(AF_INET, address, &to.sin_addr);
    const Fd socket(::socket(AF_INET, SOCK_DGRAM, 0));
    const auto* where = reinterpret_cast<const sockaddr*>(&to);
    return ::sendto(socket.get(), "hello", 5, 0, where, sizeof to) == 5 ? 0 : errno;
  }

  std::string mount_;
  std::string group_;
  bool mounted_ = false;
  bool made_ = false;
};

TEST_F(IcmpGuardTest, RefusesTheDatagramsOfASocket) {
  const ControlGroup group;
  if (!group.made()) GTEST_SKIP() << "no control groups (cgroup2): " << std::strerror(errno);
  const auto other = make_other_device();
  programs_->add_server(udp_packet(false), tag);  // 10.0.0.2 port 51820

  const auto cgroup = group.open();
  const int program = bpf_program__fd(programs_->skeleton().progs.guard);
  ASSERT_EQ(bpf_prog_attach(program, cgroup.get(), BPF_CGROUP_INET_EGRESS, 0), 0)
      << std::strerror(errno);
  EXPECT_EQ(group.send("10.0.0.2", 51821), 0);
  EXPECT_EQ(group.send("10.0.0.2", 51820), EPERM);
  EXPECT_EQ(programs_->count(ICMP_DROP_NOT_ATTACHED), 1U);
  add_device(other, 14, false);
  EXPECT_EQ(group.send("10.0.0.2", 51820), 0);
}

TEST_F(IcmpGuardTest, ServesOneNamespace) {
  const ControlGroup group;
  if (!group.made()) GTEST_SKIP() << "no control groups (cgroup2): " << std::strerror(errno);
  make_other_device();
  const Fd socket(::socket(AF_INET, SOCK_DGRAM, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  ASSERT_EQ(::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size), 0);
  const auto cgroup = group.open();
  for (const bool ours : {true, false}) {
    std::string why;
    programs_ = Programs::load(why, ours ? cookie : cookie + 1);
    ASSERT_TRUE(programs_) << why;
    programs_->add_server(udp_packet(false), tag);
    const int program = bpf_program__fd(programs_->skeleton().progs.guard);
    ASSERT_EQ(bpf_prog_attach(program, cgroup.get(), BPF_CGROUP_INET_EGRESS, 0), 0)
        << std::strerror(errno);
    EXPECT_EQ(group.send("10.0.0.2", 51820), ours ? EPERM : 0);
  }
}

}  // namespace
}  // namespace warren::carrier

#include "bench/wire.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <redirect_peer.skel.h>

#include <cerrno>

#include "bench/wait.h"
#include "linux/netlink.h"
#include "linux/netns.h"

namespace warren::bench {

namespace {

Result<> switch_offloads(const Device& device, const Host& host) {
  auto scope = NetnsScope::enter(host.netns());
  if (!scope) return tl::unexpected(scope.error());
  for (const auto& [feature, on] : device.offload)
    if (auto done = ethtool::set(device.name, feature, on); !done) return done;
  return {};
}

Result<> make_pair(const Device& a, const Host& host_a, const Device& b, const Host& host_b) {
  auto socket = netlink::Socket::open(host_a.netns());
  if (!socket) return tl::unexpected(socket.error());
  netlink::VethConfig config;
  config.name = a.name;
  config.peer_name = b.name;
  config.peer_netns = host_b.netns();
  return socket->create_veth(config);
}

struct CloseSkeleton {
  void operator()(redirect_peer_bpf* skeleton) const { redirect_peer_bpf__destroy(skeleton); }
};

// On `entrance`, in the namespace that the thread is in. The kernel keeps the program for as long
// as the device lives.
Result<> redirect(int entrance, int exit) {
  const std::unique_ptr<redirect_peer_bpf, CloseSkeleton> skeleton(redirect_peer_bpf__open());
  if (!skeleton) return fail_errno("open the redirect-peer program");
  skeleton->rodata->exit_ifindex = exit;
  if (const int error = redirect_peer_bpf__load(skeleton.get()); error != 0)
    return fail_errno(
        "load the redirect-peer program (it needs kernel 5.10 with CONFIG_BPF_SYSCALL)", -error);
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = entrance;
  hook.attach_point = BPF_TC_INGRESS;
  if (const int error = ::bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST)
    return fail_errno("make the hook for redirect-peer (it needs CONFIG_NET_CLS_ACT)", -error);
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.prog_fd = bpf_program__fd(skeleton->progs.redirect);
  if (const int error = ::bpf_tc_attach(&hook, &options); error != 0)
    return fail_errno("attach redirect-peer (it needs CONFIG_NET_CLS_BPF)", -error);
  return {};
}

Result<> join_pairs(const Device& left, const Device& right, const Host& via) {
  auto socket = netlink::Socket::open(via.netns());
  if (!socket) return tl::unexpected(socket.error());
  const auto left_index = socket->index(left.name);
  const auto right_index = socket->index(right.name);
  if (!left_index) return tl::unexpected(left_index.error());
  if (!right_index) return tl::unexpected(right_index.error());
  auto scope = NetnsScope::enter(via.netns());
  if (!scope) return tl::unexpected(scope.error());
  ::libbpf_set_print(nullptr);
  if (auto done = redirect(*left_index, *right_index); !done) return done;
  return redirect(*right_index, *left_index);
}

// The ends that redirect-peer has in its middle host: no address, no name that anyone needs to
// know.
Device middle_end(const Device& end, const std::string& via, int number) {
  Device device;
  device.host = via;
  device.name = fmt::format("join{}", number);
  device.mtu = end.mtu;
  device.offload = end.offload;
  return device;
}

}  // namespace

Result<> set_up_device(const Device& device, const Host& host) {
  auto socket = netlink::Socket::open(host.netns());
  if (!socket) return tl::unexpected(socket.error());
  if (device.mtu)
    if (auto done = socket->set_mtu(device.name, *device.mtu); !done) return done;
  if (auto done = switch_offloads(device, host); !done) return done;
  for (const auto& address : device.addresses)
    if (auto done = socket->add_address(device.name, address); !done) return done;
  if (auto done = socket->set_up(device.name, true); !done) return done;
  for (const auto& route : device.routes)
    if (auto done = socket->add_route(device.name, route); !done) return done;
  return {};
}

namespace {

Result<> set_up(const Device& device, const Host& host) {
  auto done = set_up_device(device, host);
  return done ? done : fail_in(fmt::format("host {}", host.name()), done.error());
}

Result<> await_carrier(const Device& device, const Host& host) {
  auto socket = netlink::Socket::open(host.netns());
  if (!socket) return tl::unexpected(socket.error());
  return wait_until(fmt::format("the carrier of {} in host {}", device.name, host.name()),
                    [&]() -> Result<bool> {
                      const auto link = socket->link(device.name);
                      if (!link) return tl::unexpected(link.error());
                      return link->running;
                    });
}

}  // namespace

Result<> make_veth_wire(const Wire& wire, const Hosts& hosts) {
  const auto& left = wire.ends[0];
  const auto& right = wire.ends[1];
  std::vector<Device> devices = wire.ends;
  if (wire.join == Wire::Join::veth) {
    if (auto done = make_pair(left, *hosts.at(left.host), right, *hosts.at(right.host)); !done)
      return done;
  } else {
    devices.push_back(middle_end(left, wire.via, 1));
    devices.push_back(middle_end(right, wire.via, 2));
    const auto& via = *hosts.at(wire.via);
    if (auto done = make_pair(left, *hosts.at(left.host), devices[2], via); !done) return done;
    if (auto done = make_pair(right, *hosts.at(right.host), devices[3], via); !done) return done;
    if (auto done = join_pairs(devices[2], devices[3], via); !done) return done;
  }
  for (const auto& device : devices)
    if (auto done = set_up(device, *hosts.at(device.host)); !done) return done;
  for (const auto& device : devices)
    if (auto done = await_carrier(device, *hosts.at(device.host)); !done) return done;
  return {};
}

Result<> prefer_congestion_control(const Host& host, const std::string& algorithm) {
  constexpr auto setting = "/proc/sys/net/ipv4/tcp_congestion_control";
  auto scope = NetnsScope::enter(host.netns());
  if (!scope) return tl::unexpected(scope.error());
  const Fd file(::open(setting, O_WRONLY | O_CLOEXEC));
  if (!file) return fail_errno(fmt::format("host {}: open {}", host.name(), setting));
  for (const auto& name : {algorithm, std::string("reno")})
    if (::write(file.get(), name.data(), name.size()) == static_cast<ssize_t>(name.size()))
      return {};
  return fail_errno(fmt::format("host {}: set {} to {} or reno", host.name(), setting, algorithm));
}

// The devices are named like their sections, so the two ends have different names (scenario.cc sees
// to it).
std::string impaired_wire_file(const Wire& wire) {
  std::string file;
  for (const auto& end : wire.ends) {
    file += fmt::format("[tun.{}]\nmode = \"tap\"\nnetns = \"{}\"\n", end.name, end.host);
    if (end.mtu) file += fmt::format("mtu = {}\n", *end.mtu);
  }
  file += fmt::format("[impair.line]\nmedium = \"ethernet\"\n{}", wire.impair);
  // Keys of the file itself stand before its sections.
  return fmt::format("links = [[\"{}\", \"line.a\"], [\"line.b\", \"{}\"]]\n", wire.ends[0].name,
                     wire.ends[1].name) +
         file;
}

}  // namespace warren::bench

#include "carrier/icmp_node.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "carrier/name_lookup.h"
#include "carrier/route_devices.h"
#include "core/log.h"
#include "linux/change_watch.h"
#include "linux/netns.h"

namespace warren::carrier {

namespace {

using std::chrono::seconds;

constexpr auto retry_time = seconds(5);
// A program may go on sending to an address that the name no longer has: those stay closed too.
constexpr std::size_t kept_addresses = 64;

class IcmpNode final : public Node {
 public:
  IcmpNode(std::string name, IcmpNodeSettings settings, Fd netns, Loop& loop)
      : Node(std::move(name)),
        settings_(std::move(settings)),
        netns_(std::move(netns)),
        loop_(loop),
        changes_(loop, [this] { on_changes(); }),
        try_again_(loop, [this] { on_changes(); }),
        look_up_again_(loop, [this] { look_up(); }) {}
  ~IcmpNode() override;

  Result<> start();

  [[nodiscard]] std::string_view kind() const noexcept override { return "icmp"; }
  [[nodiscard]] std::vector<Port*> ports() override { return {}; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> details() const override;
  [[nodiscard]] Result<bool> reconfigure(const NodeConfig& config) override;

 private:
  [[nodiscard]] const IcmpTarget* client() const {
    return std::get_if<IcmpTarget>(&settings_.role);
  }
  [[nodiscard]] const std::vector<IcmpUser>& users() const {
    return std::get<std::vector<IcmpUser>>(settings_.role);
  }
  [[nodiscard]] Result<std::vector<std::string>> wanted_devices() const;
  [[nodiscard]] bool up_to_date() const;
  [[nodiscard]] bool has_flow(const IcmpCarrier& carrier) const;
  Result<> apply();
  Result<> attach(IcmpCarrier& carrier);
  Result<> set_flow(IcmpCarrier& carrier);
  Result<> remove_flow(IcmpCarrier& carrier, const IcmpNodeSettings& settings);
  Result<> remove_former_users(const IcmpNodeSettings& former);
  void try_to_apply();
  void on_changes();
  void look_up();
  void on_addresses(const NameLookup::Answer& answer);
  [[nodiscard]] std::vector<IcmpServer> servers(const IcmpNodeSettings& settings) const;

  IcmpNodeSettings settings_;
  Fd netns_;
  Loop& loop_;
  ChangeWatch changes_;
  Timer try_again_;
  Timer look_up_again_;
  std::unique_ptr<NameLookup> lookup_;
  std::vector<IpAddress> addresses_;   // of the server: the newest last
  std::vector<std::string> attached_;  // by us
  bool carried_ = false;               // once at least
  bool flow_set_ = false;              // what is in the kernel under our names is ours to remove
  std::string problem_;                // what does not work now, for status
};

Result<> IcmpNode::start() {
  const auto scope = NetnsScope::enter(netns_.get());
  if (!scope) return tl::unexpected(scope.error());
  if (auto watched = changes_.start(); !watched) return watched;
  auto lookup = NameLookup::create(loop_, [this](const auto& answer) { on_addresses(answer); });
  if (!lookup) return tl::unexpected(lookup.error());
  lookup_ = std::move(*lookup);
  if (client() != nullptr) {
    if (const auto address = IpAddress::parse(client()->ticket.server.host))
      addresses_ = {*address};
    else
      look_up();
  }
  return apply();
}

IcmpNode::~IcmpNode() {
  const auto scope = NetnsScope::enter(netns_.get());
  if (!scope) return;
  auto carrier = IcmpCarrier::find(BpfPins::Access::change);
  Result<> done;
  if (!carrier) done = tl::unexpected(carrier.error());
  if (!carrier || !*carrier) return;
  if (flow_set_) done = remove_flow(**carrier, settings_);
  // Devices serve every flow: the last one takes ours along.
  const auto servers = (*carrier)->servers();
  const auto users = (*carrier)->users();
  if (servers && users && servers->empty() && users->empty())
    for (const auto& device : attached_)
      if (auto detached = (*carrier)->detach(device); !detached)
        log::debug("{}", detached.error().message);
  if (!done) log::error("{}: {}", name(), done.error().message);
}

Result<std::vector<std::string>> IcmpNode::wanted_devices() const {
  if (!settings_.devices.empty()) return settings_.devices;
  auto socket = netlink::Socket::open();
  if (!socket) return tl::unexpected(socket.error());
  return client() != nullptr ? devices_towards(*socket, addresses_, settings_.mark)
                             : default_devices(*socket);
}

// Everything that should be carried and attached is. Others' flows may have moved the devices meanwhile,
// and somebody may have removed ours.
bool IcmpNode::up_to_date() const {
  const auto devices = wanted_devices();
  if (!devices || !problem_.empty()) return false;
  const auto carrier = IcmpCarrier::find(BpfPins::Access::read);
  if (!carrier || !*carrier || !has_flow(**carrier)) return false;
  return std::ranges::all_of(
      *devices, [&](const auto& name) { return (*carrier)->attached_index(name) != 0; });
}

// What cannot be attached is tried again later; the flow is closed there meanwhile, by the guard.
Result<> IcmpNode::apply() {
  const auto scope = NetnsScope::enter(netns_.get());
  if (!scope) return tl::unexpected(scope.error());
  auto carrier = IcmpCarrier::open();
  if (!carrier) return tl::unexpected(carrier.error());
  const auto attached = attach(*carrier);
  if (auto done = set_flow(*carrier); !done) return done;
  flow_set_ = true;
  const auto problem = attached ? std::string{} : attached.error().message;
  if (attached) {
    if (!problem_.empty())
      log::info("{}: carried{}, through {}", name(), carried_ ? " again" : "",
                fmt::join(attached_, ", "));
    carried_ = true;
  } else {
    if (attached.error().code == EAGAIN)
      log::debug("{}: {}", name(), problem);
    else if (problem != problem_)
      log::warning("{}: {}; tried again when links change", name(), problem);
    try_again_.set(loop_.now() + retry_time);
  }
  problem_ = problem;
  return {};
}

Result<> IcmpNode::attach(IcmpCarrier& carrier) {
  if (client() != nullptr && addresses_.empty())
    return fail(fmt::format("the address of {} is not known yet", client()->ticket.server.host),
                EAGAIN);  // the look-up says what is wrong
  const auto devices = wanted_devices();
  if (!devices) return tl::unexpected(devices.error());
  Result<> all;
  for (const auto& device : *devices) {
    const bool ours = std::ranges::find(attached_, device) != attached_.end();
    if (ours && carrier.attached_index(device) != 0) continue;
    if (auto done = carrier.attach(device, settings_.options); !done)
      all = done;
    else if (!ours)
      attached_.push_back(device);
  }
  return all;
}

std::vector<IcmpServer> IcmpNode::servers(const IcmpNodeSettings& settings) const {
  const auto* target = std::get_if<IcmpTarget>(&settings.role);
  std::vector<IcmpServer> servers;
  if (target == nullptr) return servers;
  for (const auto& address : addresses_)
    servers.push_back({address, target->ticket.server.port, target->ticket.tag,
                       target->ticket.user.empty() ? name() : target->ticket.user});
  return servers;
}

Result<> IcmpNode::set_flow(IcmpCarrier& carrier) {
  for (const auto& server : servers(settings_))
    if (auto done = carrier.set_server(server); !done) return done;
  if (client() != nullptr) return {};
  for (const auto& user : users())
    if (auto done = carrier.set_user(user); !done) return done;
  return {};
}

bool IcmpNode::has_flow(const IcmpCarrier& carrier) const {
  const auto there = carrier.servers();
  const auto known = carrier.users();
  if (!there || !known) return false;
  const auto is_there = [&](const IcmpServer& server) {
    return std::ranges::any_of(*there, [&](const IcmpServer& other) {
      return other.endpoint() == server.endpoint() && other.tag == server.tag;
    });
  };
  const auto is_known = [&](const IcmpUser& user) {
    return std::ranges::find(*known, user.name, &IcmpUser::name) != known->end();
  };
  return client() != nullptr ? std::ranges::all_of(servers(settings_), is_there)
                             : std::ranges::all_of(users(), is_known);
}

Result<> IcmpNode::remove_flow(IcmpCarrier& carrier, const IcmpNodeSettings& settings) {
  if (const auto* users = std::get_if<std::vector<IcmpUser>>(&settings.role))
    return carrier.remove_users(*users);
  return carrier.remove_servers(servers(settings));
}

void IcmpNode::try_to_apply() {
  if (auto done = apply(); !done) {
    log::error("{}: {}", name(), done.error().message);
    problem_ = done.error().message;
    try_again_.set(loop_.now() + retry_time);
  }
}

void IcmpNode::on_changes() {
  {
    const auto scope = NetnsScope::enter(netns_.get());
    if (!scope || up_to_date()) return;
  }
  try_to_apply();
}

void IcmpNode::look_up() {
  if (client() == nullptr || IpAddress::parse(client()->ticket.server.host)) return;
  lookup_->start(client()->ticket.server.host);
  look_up_again_.set(loop_.now() + client()->lookup_interval);
}

void IcmpNode::on_addresses(const NameLookup::Answer& answer) {
  if (client() == nullptr) return;
  if (!answer) {
    log::warning("{}: {}", name(), answer.error().message);
    look_up_again_.set(loop_.now() +
                       std::min<std::chrono::nanoseconds>(retry_time, client()->lookup_interval));
    return;
  }
  bool changed = false;
  for (const auto& address : *answer) {
    if (std::ranges::find(addresses_, address) != addresses_.end()) continue;
    log::info("{}: {} is {}", name(), client()->ticket.server.host, address.to_string());
    addresses_.push_back(address);
    changed = true;
  }
  if (!changed) return;
  try_to_apply();
  const auto scope = NetnsScope::enter(netns_.get());
  if (addresses_.size() <= kept_addresses || !scope) return;
  auto carrier = IcmpCarrier::open();
  const auto all = servers(settings_);
  const std::vector old(all.begin(), all.end() - kept_addresses);
  if (carrier)
    if (auto done = carrier->remove_servers(old); !done) log::error("{}", done.error().message);
  addresses_.erase(addresses_.begin(), addresses_.end() - kept_addresses);
}

Result<bool> IcmpNode::reconfigure(const NodeConfig& config) {
  const auto& wanted = static_cast<const IcmpNodeConfig&>(config).settings();
  const auto* before = client();
  const auto* after = std::get_if<IcmpTarget>(&wanted.role);
  // Another server is another flow; so is another role.
  if (wanted.netns != settings_.netns || (before == nullptr) != (after == nullptr)) return false;
  if (before != nullptr && before->ticket.server != after->ticket.server) return false;
  const auto former = std::exchange(settings_, wanted);
  attached_.clear();  // so that the options are applied to each
  auto done = remove_former_users(former);
  if (done) done = apply();
  if (done) return true;
  settings_ = former;
  attached_.clear();
  if (auto restored = apply(); !restored) log::error("{}", restored.error().message);
  return tl::unexpected(done.error());
}

/// First of all, because others may get their tags.
Result<> IcmpNode::remove_former_users(const IcmpNodeSettings& former) {
  if (client() != nullptr) return {};
  auto gone = std::get<std::vector<IcmpUser>>(former.role);
  std::erase_if(gone, [&](const IcmpUser& user) {
    return std::ranges::find(users(), user.name, &IcmpUser::name) != users().end();
  });
  const auto scope = NetnsScope::enter(netns_.get());
  if (!scope) return tl::unexpected(scope.error());
  if (gone.empty()) return {};
  auto carrier = IcmpCarrier::open();
  if (!carrier) return tl::unexpected(carrier.error());
  return carrier->remove_users(gone);
}

std::vector<std::pair<std::string, std::string>> IcmpNode::details() const {
  std::vector<std::pair<std::string, std::string>> details;
  if (const auto* target = client())
    details = {{"role", "connect"},
               {"server", target->ticket.server.to_string()},
               {"tag", target->ticket.tag.to_string()}};
  else if (users().size() == 1)
    details = {{"role", "serve"},
               {"user", users().front().name},
               {"port", std::to_string(users().front().port)},
               {"tag", users().front().tag.to_string()}};
  else
    details = {{"role", "serve"}, {"users", std::to_string(users().size())}};
  const auto scope = NetnsScope::enter(netns_.get());
  const auto carrier =
      scope ? IcmpCarrier::find(BpfPins::Access::read) : tl::unexpected(scope.error());
  const auto state = carrier && *carrier ? (*carrier)->state() : fail("nothing is set up");
  if (state) {
    IcmpCounts counts{};
    const auto add = [&](const IcmpCounts& more) {
      counts.tx_packets += more.tx_packets;
      counts.rx_packets += more.rx_packets;
    };
    const auto ours = servers(settings_);
    std::set<std::pair<Profile, std::uint16_t>> tags;
    if (client() == nullptr)
      for (const auto& user : users()) tags.insert({user.tag.profile, user.tag.value});
    for (const auto& [server, more] : state->servers)
      if (std::ranges::find(ours, server) != ours.end()) add(more);
    std::size_t sessions = 0;
    for (const auto& user : state->users)
      if (client() == nullptr && tags.contains({user.user.tag.profile, user.user.tag.value})) {
        add(user.counts);
        sessions += user.sessions;
      }
    if (client() == nullptr) details.emplace_back("sessions", std::to_string(sessions));
    for (const auto& device : state->devices)
      if (!device.name.empty())
        details.emplace_back("dev " + device.name, device.checksum.mode == ChecksumMode::balance
                                                       ? "balance"
                                                       : "software");
    details.emplace_back("out", fmt::format("{} packets", counts.tx_packets));
    details.emplace_back("in", fmt::format("{} packets", counts.rx_packets));
  }
  if (!problem_.empty()) details.emplace_back("problem", problem_);
  return details;
}

}  // namespace

Result<std::unique_ptr<Node>> IcmpNodeConfig::create(const std::string& name, Loop& loop) const {
  auto netns = open_netns(settings_.netns);
  if (!netns) return fail_in(name, netns.error());
  auto node = std::make_unique<IcmpNode>(name, settings_, std::move(*netns), loop);
  if (auto started = node->start(); !started) return fail_in(name, started.error());
  return node;
}

}  // namespace warren::carrier

#include "carrier/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>

#include <charconv>

#include "carrier/bpf_link.h"
#include "carrier/clsact.h"

namespace warren::carrier {

namespace {

std::string link_name(Hook hook, int ifindex) {
  return fmt::format("link-{}-{}", hook_name(hook), ifindex);
}
std::string filter_name(Hook hook, int ifindex) {
  return fmt::format("filter-{}-{}", hook_name(hook), ifindex);
}
std::string qdisc_name(int ifindex) { return fmt::format("qdisc-{}", ifindex); }

// A link to the device that still is attached.
Result<Fd> live_link(const BpfPins& pins, Hook hook, int ifindex) {
  auto link = pins.get(link_name(hook, ifindex));
  if (!link || !*link) return link;
  const auto info = read_link(link->get());
  if (!info) return tl::unexpected(info.error());
  return info->ifindex == ifindex ? std::move(link) : Result<Fd>(Fd{});
}

Result<Mechanism> attach_link(BpfPins& pins, Hook hook, int ifindex, int program) {
  auto link = hook == Hook::xdp ? link_xdp(program, ifindex)
                                : link_tcx(program, ifindex, hook == Hook::egress);
  if (!link) return tl::unexpected(link.error());
  if (auto pinned = pins.replace(link_name(hook, ifindex), link->get()); !pinned)
    return tl::unexpected(pinned.error());
  return hook == Hook::xdp ? Mechanism::xdp : Mechanism::tcx;
}

Result<Mechanism> attach_filter(BpfPins& pins, Hook hook, int ifindex, int program) {
  const bool egress = hook == Hook::egress;
  const auto before = pins.get(filter_name(hook, ifindex));
  if (!before) return tl::unexpected(before.error());
  if (*before) {
    if (const auto place = clsact::find(ifindex, egress, before->get())) {
      if (auto done = clsact::replace(ifindex, egress, *place, program); !done)
        return tl::unexpected(done.error());
      if (auto done = pins.replace(filter_name(hook, ifindex), program); !done)
        return tl::unexpected(done.error());
      return Mechanism::clsact;
    }
  }
  const auto made = clsact::create(ifindex);
  if (!made) return tl::unexpected(made.error());
  Result<> done;
  if (*made) done = pins.replace(qdisc_name(ifindex), program);
  if (done) done = pins.replace(filter_name(hook, ifindex), program);
  if (done) done = clsact::add(ifindex, egress, program);
  if (!done) return tl::unexpected(done.error());
  return Mechanism::clsact;
}

Result<> detach_filter(BpfPins& pins, Hook hook, int ifindex) {
  const auto program = pins.get(filter_name(hook, ifindex));
  if (!program) return tl::unexpected(program.error());
  if (!*program) return {};
  const bool egress = hook == Hook::egress;
  if (const auto place = clsact::find(ifindex, egress, program->get()))
    if (auto done = clsact::remove(ifindex, egress, *place); !done) return done;
  if (auto done = pins.remove(filter_name(hook, ifindex)); !done) return done;
  const auto other = egress ? Hook::ingress : Hook::egress;
  const auto other_program = pins.get(filter_name(other, ifindex));
  const auto qdisc = pins.get(qdisc_name(ifindex));
  if (!qdisc || !*qdisc || !other_program || *other_program) return {};
  if (auto done = clsact::remove_if_empty(ifindex); !done) return done;
  return pins.remove(qdisc_name(ifindex));
}

}  // namespace

std::string_view hook_name(Hook hook) {
  if (hook == Hook::egress) return "egress";
  return hook == Hook::ingress ? "ingress" : "xdp";
}

std::string_view mechanism_name(Mechanism mechanism) {
  if (mechanism == Mechanism::tcx) return "tcx";
  return mechanism == Mechanism::clsact ? "clsact" : "xdp";
}

Result<Mechanism> attach(BpfPins& pins, Hook hook, int ifindex, int program, Tcx tcx) {
  const auto action = fmt::format("attach to {} of device {}", hook_name(hook), ifindex);
  const auto link = live_link(pins, hook, ifindex);
  if (!link) return fail_in(action, link.error());
  if (*link) {
    if (auto done = update_link(link->get(), program); !done) return fail_in(action, done.error());
    return hook == Hook::xdp ? Mechanism::xdp : Mechanism::tcx;
  }
  Result<Mechanism> done = fail("not tried", EINVAL);
  if (hook == Hook::xdp || tcx == Tcx::use) done = attach_link(pins, hook, ifindex, program);
  // Before 6.6 the kernel does not know the kind of link that we ask for.
  if (!done && hook != Hook::xdp &&
      (done.error().code == EINVAL || done.error().code == EOPNOTSUPP))
    done = attach_filter(pins, hook, ifindex, program);
  if (!done) return fail_in(action, done.error());
  return done;
}

Result<> detach(BpfPins& pins, Hook hook, int ifindex) {
  const auto action = fmt::format("detach from {} of device {}", hook_name(hook), ifindex);
  // The pin is the only reference: with it the program goes from the device.
  if (auto done = pins.remove(link_name(hook, ifindex)); !done)
    return fail_in(action, done.error());
  if (hook == Hook::xdp) return {};
  if (auto done = detach_filter(pins, hook, ifindex); !done) return fail_in(action, done.error());
  return {};
}

std::optional<Mechanism> attached(const BpfPins& pins, Hook hook, int ifindex) {
  if (const auto link = live_link(pins, hook, ifindex); link && *link)
    return hook == Hook::xdp ? Mechanism::xdp : Mechanism::tcx;
  if (hook == Hook::xdp) return std::nullopt;
  const auto program = pins.get(filter_name(hook, ifindex));
  if (program && *program && clsact::find(ifindex, hook == Hook::egress, program->get()))
    return Mechanism::clsact;
  return std::nullopt;
}

std::vector<int> attached_devices(const BpfPins& pins, Hook hook) {
  std::vector<int> devices;
  for (const auto& prefix :
       {fmt::format("link-{}-", hook_name(hook)), fmt::format("filter-{}-", hook_name(hook))})
    for (const auto& name : pins.names(prefix)) {
      int ifindex = 0;
      std::from_chars(name.data() + prefix.size(), name.data() + name.size(), ifindex);
      devices.push_back(ifindex);
    }
  return devices;
}

std::uint32_t foreign_xdp(const BpfPins& pins, int ifindex) {
  std::uint32_t id = 0;
  if (::bpf_xdp_query_id(ifindex, 0, &id) != 0 || id == 0) return 0;
  const auto link = live_link(pins, Hook::xdp, ifindex);
  if (link && *link) return 0;
  return id;
}

}  // namespace warren::carrier

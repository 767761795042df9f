#include "bench/flamegraph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace warren::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

// As perf 6.1 prints it.
constexpr auto script =
    "sync \n"
    "\tffffffff82032ad6 tun_get_user ([kernel.kallsyms])\n"
    "\tffffffff81ff62b8 ksys_write ([kernel.kallsyms])\n"
    "\t           f82ad write (/usr/lib/libc.so.6)\n"
    "\t            1234 forward<Packet>(int) (/opt/sync)\n"
    "\n"
    "sync \n"
    "\tffffffff81ff62b8 ksys_write ([kernel.kallsyms])\n"
    "\t           f82ad write (/usr/lib/libc.so.6)\n"
    "\t            1234 forward<Packet>(int) (/opt/sync)\n"
    "\n"
    "sync \n"
    "\te1b2cb4ba78dd6c4 [unknown] (/opt/sync)\n"
    "\n";

TEST(FlameGraph, FoldsStacksFromTheOutermostCall) {
  const auto tree = fold_stacks(script);
  EXPECT_EQ(tree.samples, 3U);
  const auto& thread = tree.calls.at("sync");
  EXPECT_EQ(thread.samples, 3U);
  EXPECT_EQ(thread.calls.at("[sync]").samples, 1U);
  const auto& write = thread.calls.at("forward<Packet>(int)").calls.at("write");
  EXPECT_EQ(write.samples, 2U);
  EXPECT_EQ(write.calls.at("ksys_write_[k]").samples, 2U);
  EXPECT_EQ(write.calls.at("ksys_write_[k]").calls.at("tun_get_user_[k]").samples, 1U);
}

TEST(FlameGraph, DrawsEveryFunctionAndEscapesItsName) {
  const auto svg = render_flame_graph(fold_stacks(script));
  EXPECT_THAT(svg, HasSubstr("forward&lt;Packet&gt;(int) (2 samples, 66.7 %)"));
  EXPECT_THAT(svg, HasSubstr("tun_get_user, kernel"));
  EXPECT_THAT(svg, Not(HasSubstr("<Packet>")));
  EXPECT_TRUE(svg.starts_with("<svg"));
}

TEST(FlameGraph, TakesAnyText) {
  EXPECT_EQ(fold_stacks("").samples, 0U);
  EXPECT_EQ(fold_stacks("\tno thread\n\n\n").samples, 0U);
  EXPECT_EQ(fold_stacks("a\n\tx").samples, 1U);
}

}  // namespace
}  // namespace warren::bench
